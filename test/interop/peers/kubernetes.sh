#!/usr/bin/env bash
# Builds Kubernetes' API server, controller manager and kubectl: a control plane for tests, without a cluster. That takes minutes, so
# `make test` never does it: `make kubernetes` does, once, and tests that want it are skipped where it is not there.
#   kubernetes.sh        builds what is missing
#   kubernetes.sh where  prints the folder
set -eu
version=1.34.1
kept=${SLUICE_PEERS:-${XDG_CACHE_HOME:-$HOME/.cache}/sluice/peers}
folder=$kept/kubernetes-v$version
programs='kube-apiserver kube-controller-manager kubectl'
[ "${1:-}" = where ] && { echo "$folder"; exit 0; }
built() { for program in $programs; do [ -x "$folder/$program" ] || return 1; done; }
built && exit 0
command -v go >/dev/null || { echo "MISSING: go: Kubernetes can't be built; tests that need it are skipped" >&2; exit 0; }
mkdir -p "$kept"
exec 9>"$kept/kubernetes.lock"
flock 9
built && exit 0
sources=$(mktemp -d)
trap 'rm -rf "$sources"' EXIT
cd "$sources"
# A module of its own that asks for them. In Kubernetes' own module the modules that it is made of have no version (v0.0.0), as it has them
# beside it; they are published as v0 with the same numbers. Checked with the checksum database.
cat >go.mod <<EOF
module kubernetes

go 1.24.0

require k8s.io/kubernetes v$version

tool (
$(printf '\tk8s.io/kubernetes/cmd/%s\n' $programs)
)
EOF
published=$(go mod download -json "k8s.io/kubernetes@v$version" | sed -n 's/.*"GoMod": "\(.*\)".*/\1/p')
for module in $(sed -n 's/^\t\(k8s\.io\/[a-z-]*\) v0\.0\.0\( .*\)\?$/\1/p' "$published" | grep -v '/sample-apiserver$'); do
  echo "replace $module => $module v0.${version#*.}"
done >>go.mod
mkdir -p "$folder"
for program in $programs; do
  [ -x "$folder/$program" ] && continue
  echo "building $program $version" >&2
  CGO_ENABLED=0 nice -n 19 go build -mod=mod -trimpath -ldflags='-s -w' -o "$folder/$program.new" "k8s.io/kubernetes/cmd/$program"
  mv "$folder/$program.new" "$folder/$program"
done
