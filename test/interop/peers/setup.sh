#!/usr/bin/env bash
# Builds the peers of test/interop: servers and clients that nobody here wrote. Each lies in a folder whose name has a hash of its
# sources in it, outside of the tree, so that it is built once. Says by name what can't be had, and never fails: tests that want
# it are skipped.
#   setup.sh            builds what is missing
#   setup.sh where KIND prints the folder of go, java or python
set -u
here=$(cd "$(dirname "$0")" && pwd)
kept=${SLUICE_PEERS:-${XDG_CACHE_HOME:-$HOME/.cache}/sluice/peers}
where() { echo "$kept/$1-$(cd "$here/$1" && cat -- * ../setup.sh | sha256sum | cut -c1-16)"; }
[ "${1:-}" = where ] && { where "$2"; exit 0; }

build_go() { cd "$here/go" && CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags='-s -w' -o "$1/peers" .; }
build_java() {
  mvn -q -B -f "$here/java/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
    -DoutputDirectory="$1/lib" -DincludeScope=runtime && javac -nowarn -cp "$1/lib/*" -d "$1/classes" "$here/java/Peers.java"
}
build_python() {
  local python
  python=$(command -v /usr/bin/python3 || command -v python3)
  "$python" -m venv "$1" && "$1/bin/pip" install -q --disable-pip-version-check -r "$here/python/requirements.txt"
}

# KIND and the programs that build and run it. Runs at once with others may build the same: the lock lets one do it.
peer() {
  local kind=$1 folder program missing='' said
  shift
  folder=$(where "$kind")
  for program in "$@"; do command -v "$program" >/dev/null 2>&1 || missing+=" $program"; done
  [ -n "$missing" ] && { echo "MISSING:$missing: tests that need peers in $kind are skipped" >&2; return; }
  mkdir -p "$kept"
  exec 9>"$kept/$kind.lock"
  flock 9
  [ -e "$folder/.built" ] && { touch "$folder/.built"; return; }
  echo "building peers in $kind" >&2
  rm -rf "$folder" && mkdir "$folder"
  export here
  export -f "build_$kind"
  if said=$(timeout 240 bash -c "build_$kind '$folder'" 2>&1); then
    touch "$folder/.built"
  else
    echo "MISSING: tests that need peers in $kind are skipped, as these can't be built: $(tail -n 5 <<<"$said")" >&2
  fi
  # What no run has used for two weeks.
  find "$kept" -mindepth 2 -maxdepth 2 -name .built -mtime +14 -printf '%h\n' | grep -F "/$kind-" | xargs -r rm -rf
}
(peer go go) &
(peer java java javac mvn) &
(peer python python3) &
wait
exit 0
