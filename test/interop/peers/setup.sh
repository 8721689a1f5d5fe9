#!/usr/bin/env bash
# Builds the peers of test/interop: servers and clients that nobody here wrote.
#   setup.sh            builds what is missing
#   setup.sh where KIND prints the folder of go, java or python
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../keep.sh"
where() { folder_of '' "$1" ../setup.sh ../../keep.sh; }
[ "${1:-}" = where ] && { where "$2"; exit 0; }

build_go() { go_program "$1" "$here/go" peers; }
build_java() { java_classes "$1" Peers.java; }
build_python() { python_environment "$1"; }
(build peers go "$(where go)" 240 go) &
(build peers java "$(where java)" 240 java javac mvn) &
(build peers python "$(where python)" 240 python3) &
wait
exit 0
