#!/usr/bin/env bash
# Builds the tools that read our histograms: HdrHistogram's libraries in Java, Go and Python, and a collector of OpenTelemetry. Kept as those of
# ../peers/setup.sh are; what can't be had is named, and its tests are skipped.
#   setup.sh            builds what is missing
#   setup.sh where KIND prints the folder of go, java, python or otelcol
set -u
here=$(cd "$(dirname "$0")" && pwd)
kept=${SLUICE_PEERS:-${XDG_CACHE_HOME:-$HOME/.cache}/sluice/peers}
where() { echo "$kept/hdr-$1-$(cd "$here/$1" && cat -- * | sha256sum | cut -c1-16)"; }
[ "${1:-}" = where ] && { where "$2"; exit 0; }

compile() { cd "$1" && CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags='-s -w' -o "$2" .; }
build_go() { compile "$here/go" "$1/relog"; }
build_otelcol() { compile "$here/otelcol" "$1/collector"; }
build_java() {
  mvn -q -B -f "$here/java/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
    -DoutputDirectory="$1/lib" -DincludeScope=runtime && javac -nowarn -cp "$1/lib/*" -d "$1/classes" "$here/java/Relog.java"
}
build_python() {
  local python
  python=$(command -v /usr/bin/python3 || command -v python3)
  "$python" -m venv "$1" && "$1/bin/pip" install -q --disable-pip-version-check -r "$here/python/requirements.txt"
}

# KIND and the programs that build and run it.
tool() {
  local kind=$1 folder program missing='' said
  shift
  folder=$(where "$kind")
  for program in "$@"; do command -v "$program" >/dev/null 2>&1 || missing+=" $program"; done
  [ -n "$missing" ] && { echo "MISSING:$missing: tests of histograms that need it ($kind) are skipped" >&2; return; }
  mkdir -p "$kept"
  exec 9>"$kept/hdr-$kind.lock"
  flock 9
  [ -e "$folder/.built" ] && { touch "$folder/.built"; return; }
  echo "building what reads histograms: $kind" >&2
  rm -rf "$folder" && mkdir "$folder"
  export here
  export -f compile "build_$kind"
  if said=$(timeout 300 bash -c "build_$kind '$folder'" 2>&1); then
    touch "$folder/.built"
  else
    echo "MISSING: tests of histograms with $kind are skipped, as it can't be built: $(tail -n 5 <<<"$said")" >&2
  fi
  # What no run has used for two weeks.
  find "$kept" -mindepth 2 -maxdepth 2 -name .built -mtime +14 -printf '%h\n' | grep -F "/hdr-$kind-" | xargs -r rm -rf
}
(tool go go) &
(tool java java javac mvn) &
(tool python python3) &
wait
tool otelcol go
exit 0
