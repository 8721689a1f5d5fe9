# Sourced by setup.sh of peers/ and tools/: builds what tests need and nobody here wrote, each kind once, in a folder outside of the tree
# whose name has a hash of its sources in it. Says by name what can't be had, and never fails: the tests that want it are skipped.
kept=${SLUICE_PEERS:-${XDG_CACHE_HOME:-$HOME/.cache}/sluice/peers}

# The folder of a kind: its prefix, the kind, and the files (beside its own) that decide what is built.
folder_of() {
  local prefix=$1 kind=$2
  shift 2
  echo "$kept/$prefix$kind-$(cd "$here/$kind" && cat -- * "$@" | sha256sum | cut -c1-16)"
}

# Builders that both have in common; each gets the folder first.
go_program() { cd "$2" && CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags='-s -w' -o "$1/$3" .; }
java_classes() {
  mvn -q -B -f "$here/java/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
    -DoutputDirectory="$1/lib" -DincludeScope=runtime && javac -nowarn -cp "$1/lib/*" -d "$1/classes" "$here/java/$2"
}
python_environment() {
  local python
  python=$(command -v /usr/bin/python3 || command -v python3)
  "$python" -m venv "$1" && "$1/bin/pip" install -q --disable-pip-version-check -r "$here/python/requirements.txt"
}

# What it is, its kind, the folder, seconds that the build may take, and the programs it takes. The build itself is the function
# build_KIND, which gets the folder. Another run may build the same at the same time: the lock makes it wait.
build() {
  local what=$1 kind=$2 folder=$3 seconds=$4 program missing='' said
  shift 4
  for program in "$@"; do command -v "$program" >/dev/null 2>&1 || missing+=" $program"; done
  [ -n "$missing" ] && { echo "MISSING:$missing: tests that need $what ($kind) are skipped" >&2; return; }
  mkdir -p "$kept"
  exec 9>"${folder%-*}.lock"
  flock 9
  [ -e "$folder/.built" ] && { touch "$folder/.built"; return; }
  echo "building $what: $kind" >&2
  rm -rf "$folder" && mkdir "$folder"
  export here
  export -f "build_$kind" go_program java_classes python_environment
  if said=$(timeout "$seconds" bash -c "build_$kind '$folder'" 2>&1); then
    touch "$folder/.built"
  else
    echo "MISSING: tests that need $what ($kind) are skipped, as the build failed: $(tail -n 5 <<<"$said")" >&2
  fi
  # Builds that no run has used for two weeks.
  find "$kept" -mindepth 2 -maxdepth 2 -name .built -mtime +14 -printf '%h\n' | grep -F "${folder%-*}-" | xargs -r rm -rf
}
