#!/usr/bin/env bash
# Builds SPIRE's server and agent, which give identities out over the SPIFFE Workload API. That takes minutes, so `make test`
# never does it: `make spire` does, once, and tests that want it are skipped where it is not there.
#   spire.sh        builds it if it is missing
#   spire.sh where  prints the folder
set -eu
version=v1.13.3
kept=${SLUICE_PEERS:-${XDG_CACHE_HOME:-$HOME/.cache}/sluice/peers}
folder=$kept/spire-$version
[ "${1:-}" = where ] && { echo "$folder"; exit 0; }
[ -x "$folder/spire-agent" ] && [ -x "$folder/spire-server" ] && exit 0
for program in go gcc; do
  command -v "$program" >/dev/null || { echo "MISSING: $program: SPIRE can't be built; tests that need it are skipped" >&2; exit 0; }
done
mkdir -p "$kept"
exec 9>"$kept/spire.lock"
flock 9
[ -x "$folder/spire-agent" ] && [ -x "$folder/spire-server" ] && exit 0
sources=$(mktemp -d)
trap 'rm -rf "$sources"' EXIT
# A module of its own that asks for SPIRE: what that needs follows from SPIRE's own go.mod, checked with the checksum database.
cat >"$sources/go.mod" <<EOF
module spire

go 1.24.0

require github.com/spiffe/spire $version

tool (
	github.com/spiffe/spire/cmd/spire-agent
	github.com/spiffe/spire/cmd/spire-server
)
EOF
mkdir -p "$folder"
cd "$sources"
for program in spire-server spire-agent; do
  echo "building $program $version" >&2
  # The server keeps its entries in SQLite, which is C.
  CGO_ENABLED=1 nice -n 19 go build -mod=mod -trimpath -ldflags='-s -w' -o "$folder/$program.new" "github.com/spiffe/spire/cmd/$program"
  mv "$folder/$program.new" "$folder/$program"
done
