#!/usr/bin/env bash
# Makes a fresh Debian machine with Node ready to test and to demonstrate weft, and is quick when it already is:
# missing Debian packages → npm packages → native addon → compiled TypeScript. Says what it does, one line per step.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '→ %s\n' "$*"; }
fail() {
  printf 'setup: %s\n' "$*" >&2
  exit 1
}

[[ $EUID -eq 0 ]] || fail "needs root, for network namespaces and TUN devices: run it with sudo"
[[ -c /dev/net/tun ]] || fail "there is no /dev/net/tun: load it with 'modprobe tun', or pass it into this container"
command -v npm >/dev/null || fail "Node.js 20.19 or newer with npm is needed: https://nodejs.org"

# command or file that must exist : Debian package that brings it
needs=(
  ip:iproute2 bridge:iproute2 sysctl:procps ethtool:ethtool /usr/sbin/nft:nftables tcpdump:tcpdump
  ping:iputils-ping traceroute:traceroute iperf3:iperf3 etcd:etcd-server etcdctl:etcd-client
  faketime:faketime openssl:openssl setpriv:util-linux patch:patch gcc:gcc g++:g++ make:make python3:python3 /usr/include/stdio.h:libc6-dev
)
missing=()
for need in "${needs[@]}"; do
  what=${need%:*}
  if [[ $what == /* ]]; then test -e "$what"; else command -v "$what" >/dev/null; fi ||
    missing+=("${need#*:}")
done

# Debian asks this file whether a package may start its services; for the time of the installation it says no, so
# that no etcd starts on this machine, now or at its next boot.
install_packages() {
  local policy=/usr/sbin/policy-rc.d kept
  kept=$(mktemp -d)
  if [[ -e $policy ]]; then cp -p "$policy" "$kept/"; fi
  # shellcheck disable=SC2064 # the values of now are meant
  trap "rm -f $policy; if [[ -e $kept/policy-rc.d ]]; then cp -p $kept/policy-rc.d $policy; fi; rm -rf $kept" EXIT
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
  export DEBIAN_FRONTEND=noninteractive
  local apt=(apt-get -qq -o DPkg::Lock::Timeout=120)
  "${apt[@]}" update
  "${apt[@]}" install -y --no-install-recommends "$@" >/dev/null
  if [[ " $* " == *" etcd-server "* ]] && command -v systemctl >/dev/null; then
    systemctl --quiet disable etcd.service
  fi
}

if ((${#missing[@]} > 0)); then
  command -v apt-get >/dev/null || fail "install what is missing (Debian's names): ${missing[*]}"
  say "installing Debian packages: ${missing[*]}"
  (install_packages "${missing[@]}")
fi

# True when something below the given places is newer than the first argument, or that does not exist. Folders are
# looked at too: removing a file makes its folder newer.
outdated() {
  local product=$1
  shift
  [[ ! -e $product || -n $(find "$@" -newer "$product" -print -quit) ]]
}

# npm leaves this file behind when it has finished.
if outdated node_modules/.package-lock.json package-lock.json; then
  say "installing npm packages and building the native addon"
  npm ci --no-audit --no-fund
fi

addon=native/build/Release/weft.node
if outdated $addon native/binding.gyp native/binding native/core native/io native/sys; then
  say "building the native addon"
  output=$(npm run --silent install 2>&1) || fail "the native addon does not build:"$'\n'"$output"
fi

if outdated dist/.built src test scripts bench tsconfig.json package.json; then
  say "compiling TypeScript"
  rm -rf dist
  npm run --silent build
  chmod +x dist/src/weftd.cjs dist/src/weft.js # `npm install -g .` links to them
  touch dist/.built
fi
