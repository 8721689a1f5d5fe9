#!/usr/bin/env bash
# Debian packages that building, testing or measuring wants. Installs them where it runs as root; says by name what is missing
# where it can't. Never fails: what needs a missing program says so itself.
#   packages.sh KIND            installs
#   packages.sh KIND lacking    prints what is missing, and what to install for it; nothing if all is there
set -u
case "${1:-}" in
  toolchain) wanted=(cc:build-essential c++:build-essential make:make python3:python3) ;;
  test)
    wanted=(curl:curl wrk:wrk nginx:nginx psql:postgresql-client mariadb:mariadb-client mariadbd:mariadb-server redis-server:redis-server
      redis-cli:redis-tools memcached:memcached openssl:openssl ip:iproute2 iptables:iptables h2load:nghttp2-client prlimit:util-linux
      ssh-keyscan:openssh-client smtpd:opensmtpd nghttpd:nghttp2-server nghttpx:nghttp2-proxy haproxy:haproxy chromium-headless-shell:chromium-headless-shell
      flock:util-linux promtool:prometheus)
    ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || wanted+=(postgres-server:postgresql)
    [ -e /usr/include/openssl/ssl.h ] || wanted+=(openssl-headers:libssl-dev)
    [ -x /usr/sbin/sshd ] || wanted+=(sshd-server:openssh-server)
    /usr/bin/python3 -c 'import h2' 2>/dev/null || wanted+=(python-h2:python3-h2)
    /usr/bin/python3 -c 'import ensurepip' 2>/dev/null || wanted+=(python-venv:python3-venv)
    ;;
  kubernetes) wanted=(etcd:etcd-server) ;;
  bench) wanted=(nginx:nginx haproxy:haproxy wrk:wrk h2load:nghttp2-client nghttpx:nghttp2-proxy taskset:util-linux cc:build-essential)
    [ -e /usr/include/openssl/ssl.h ] || wanted+=(openssl-headers:libssl-dev)
    ;;
  *) echo "usage: packages.sh toolchain|test|kubernetes|bench [lacking]" >&2; exit 0 ;;
esac
programs=()
packages=()
for pair in "${wanted[@]}"; do
  PATH="$PATH:/usr/sbin:/sbin" command -v "${pair%%:*}" >/dev/null 2>&1 && continue
  programs+=("${pair%%:*}")
  [[ " ${packages[*]-} " == *" ${pair#*:} "* ]] || packages+=("${pair#*:}")
done
[ ${#packages[@]} -eq 0 ] && exit 0
if [ "${2:-}" = lacking ]; then
  echo "${programs[*]} (as root on Debian: apt-get install ${packages[*]})"
  exit 0
fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
  echo "MISSING (install as root: apt-get install ${packages[*]})" >&2
  exit 0
fi
export DEBIAN_FRONTEND=noninteractive
# Services that a package would start are none of our business.
policy=/usr/sbin/policy-rc.d
[ -e "$policy" ] || { printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy" && trap 'rm -f "$policy"' EXIT; }
# Nothing that is installed may have to go for it (a machine has one mail server: ours must not replace it), and a machine
# without network is not to wait for minutes to hear so.
apt=(apt-get -qq --no-remove -o Acquire::Retries=1 -o Acquire::http::Timeout=20 -o DPkg::Lock::Timeout=60)
echo "installing ${packages[*]}" >&2
"${apt[@]}" update >/dev/null 2>&1
install() { "${apt[@]}" install -y --no-install-recommends "$@" >/dev/null 2>&1; }
# Together is quick; one that is not to be had fails them all, so then each on its own.
install "${packages[@]}" && exit 0
for package in "${packages[@]}"; do
  install "$package" || echo "MISSING: $package could not be installed; tests that need it are skipped" >&2
done
exit 0
