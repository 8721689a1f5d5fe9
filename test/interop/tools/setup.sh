#!/usr/bin/env bash
# Builds the tools that read our histograms: HdrHistogram's libraries in Java, Go and Python, and a collector of OpenTelemetry.
#   setup.sh            builds what is missing
#   setup.sh where KIND prints the folder of go, java, python or otelcol
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../keep.sh"
where() { folder_of hdr- "$1" ../setup.sh ../../keep.sh; }
[ "${1:-}" = where ] && { where "$2"; exit 0; }

build_go() { go_program "$1" "$here/go" relog; }
build_otelcol() { go_program "$1" "$here/otelcol" collector; }
build_java() { java_classes "$1" Relog.java; }
build_python() { python_environment "$1"; }
what='readers of histograms'
(build "$what" go "$(where go)" 300 go) &
(build "$what" java "$(where java)" 300 java javac mvn) &
(build "$what" python "$(where python)" 300 python3) &
wait
build "$what" otelcol "$(where otelcol)" 300 go
exit 0
