#!/usr/bin/env bash
# Builds the native module for x64 and arm64, each for glibc and musl, on any of these machines: zig has a C library of each and
# compiles for all. Needs node and python3 with pip, or zig itself in ZIG. zig is fetched once and kept in a cache.
#   prebuilds.sh [FOLDER]    FOLDER is prebuilds/ of the checkout if not named
# Ends with 3, and says MISSING, where a program or zig can't be had.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:-prebuilds}
# Debian 10, RHEL 8 and Node.js's own binaries have this one or a later one.
glibc=2.28
kept=${XDG_CACHE_HOME:-$HOME/.cache}/sluice/zig/$(sha256sum native/zig.txt | cut -c1-16)
missing() { echo "MISSING: $*: no prebuilt binaries are made" >&2; exit 3; }
command -v node >/dev/null || missing 'node'

# Runs at once with others may fetch the same: the lock lets one do it.
zig() {
  [ -n "${ZIG:-}" ] && return
  ZIG=$kept/ziglang/zig
  mkdir -p "$(dirname "$kept")"
  exec 9>"$kept.lock"
  flock 9
  [ -e "$kept/.fetched" ] && return
  command -v python3 >/dev/null || missing 'python3, which fetches zig'
  echo "fetching zig" >&2
  rm -rf "$kept" && mkdir "$kept"
  local python=python3 said
  python3 -m pip --version >/dev/null 2>&1 || { python3 -m venv "$kept/venv" >/dev/null 2>&1 && python=$kept/venv/bin/python; } ||
    missing 'pip, which fetches zig (Debian: apt-get install python3-pip)'
  said=$("$python" -m pip install -q --disable-pip-version-check --no-deps --require-hashes --only-binary=:all: --target "$kept" -r native/zig.txt 2>&1) ||
    missing "zig ($(tail -n 1 <<<"$said"))"
  touch "$kept/.fetched"
}

# Headers that came with this Node.js, else those that node-gyp keeps.
headers() {
  local near=${npm_config_nodedir:-$(node -p 'require("path").resolve(process.execPath, "../..")')}/include/node
  local far=${XDG_CACHE_HOME:-$HOME/.cache}/node-gyp/$(node -p process.versions.node)/include/node
  [ -e "$near/node_api.h" ] && { echo "$near"; return; }
  [ -e "$far/node_api.h" ] || node "$(npm root -g)/npm/node_modules/node-gyp/bin/node-gyp.js" install >&2 || true
  [ -e "$far/node_api.h" ] && echo "$far"
}

zig
include=$(headers) || missing "the headers of Node.js $(node --version)"
# What is compiled, and how, is said in binding.gyp alone.
target() { node -p 'const [target] = JSON.parse(require("fs").readFileSync("binding.gyp")).targets; target[process.argv[1]].join("\n")' "$1"; }
mapfile -t sources < <(target sources)
mapfile -t flags < <(target cflags)
mapfile -t defines < <(target defines | sed 's/^/-D/')
export ZIG_GLOBAL_CACHE_DIR=$kept/cache ZIG_LOCAL_CACHE_DIR=$kept/cache

for machine in x64:x86_64 arm64:aarch64; do
  for libc in glibc:gnu.$glibc musl:musl; do
    into=$folder/linux-${machine%%:*}
    file=$into/node.napi.${libc%%:*}.node
    mkdir -p "$into"
    # zig asks for checks of undefined behaviour by itself, whose messages the module has no room for.
    "$ZIG" cc -target "${machine#*:}-linux-${libc#*:}" "${flags[@]}" "${defines[@]}" -fPIC -fno-sanitize=undefined \
      -I"$include" -shared -s -o "$file.new" "${sources[@]}"
    mv "$file.new" "$file"
    echo "$file"
  done
done
