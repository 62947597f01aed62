#!/usr/bin/env bash
# Runs the native code under gcc's sanitizers:
#   the unit tests under AddressSanitizer and UndefinedBehaviorSanitizer, those with threads under ThreadSanitizer;
#   then tests in network namespaces, whose daemons load an addon that is built with the sanitizers. That happens in a
#   copy of the tree; stock Node runs the copy with the sanitizers' runtime preloaded.
# Any report fails the run, whether a test noticed it or not. `--quick` leaves most namespaces out, for .ci/run.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '→ %s\n' "$*"; }

quick=0
[[ ${1-} != --quick ]] || quick=1

bash scripts/setup.sh
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
failed=0

# Tests that carry packets, and those whose tables change while they do.
tests=(dist/test/netns/{pods,kernel-peer,flannel-udp-peer,membership,unreachable,path-mtu,peer-errors,raw-sender}.test.js)

unit_tests() {
  say "unit tests under $1"
  make --no-print-directory -s -C native "$1" >"$tree/output" 2>&1 && return
  grep -v '^ok ' "$tree/output" || true
  failed=1
}

# build <compiler flags>: the addon in the copy.
build() {
  local flags="-U_FORTIFY_SOURCE -O1 -g -fno-omit-frame-pointer $1"
  rm -rf "$tree/native"
  mkdir -p "$tree/src/etcd" "$tree/native"
  cp -r dist package.json "$tree"
  cp -r src/etcd/proto "$tree/src/etcd"
  cp -r native/{binding.gyp,binding,core,io,sys} "$tree/native"
  ln -sfn "$PWD/node_modules" "$tree/node_modules"
  (cd "$tree" && CFLAGS=$flags LDFLAGS=$1 npm run --silent build:native) >"$tree/output" 2>&1 || {
    cat "$tree/output"
    exit 1
  }
}

# daemons_under <name> <compiler flags> <runtimes> <AVA's arguments>…
daemons_under() {
  local name=$1 flags=$2 runtimes=() reports=$tree/reports-$1 library
  say "daemons under $name"
  for library in $3; do runtimes+=("$(realpath "$(gcc -print-file-name="$library")")"); done
  build "$flags"
  mkdir "$reports"
  # No leak check here: it would list what Node keeps until it exits. The unit tests have it.
  # ThreadSanitizer sees all of our code, but of Node's only calls like memcpy, and not the atomics that order them:
  # without the last option it would report Node.
  (cd "$tree" && WEFTD_PRELOAD=$(IFS=: && echo "${runtimes[*]}") \
    ASAN_OPTIONS=detect_leaks=0:log_path=$reports/asan \
    UBSAN_OPTIONS=print_stacktrace=1:log_path=$reports/ubsan \
    TSAN_OPTIONS=log_path=$reports/tsan:ignore_noninstrumented_modules=1 \
    npx --no-install ava --tap --concurrency="$(nproc)" --timeout=5m "${@:4}") >"$tree/output" 2>&1 || {
    grep -v '^ok ' "$tree/output" || true
    failed=1
  }
  grep -q '^ok ' "$tree/output" || failed=1
  if compgen -G "$reports/*" >/dev/null; then
    cat "$reports"/*
    failed=1
  fi
}

unit_tests asan
unit_tests tsan
asan=(AddressSanitizer '-fsanitize=address,undefined -fno-sanitize-recover=all' 'libasan.so libubsan.so')
tsan=(ThreadSanitizer -fsanitize=thread libtsan.so)
if ((quick)); then
  daemons_under "${asan[@]}" dist/test/netns/pods.test.js --match='*with offloads between the hosts'
  daemons_under "${tsan[@]}" dist/test/netns/membership.test.js
else
  daemons_under "${asan[@]}" "${tests[@]}"
  daemons_under "${tsan[@]}" "${tests[@]}"
fi
((failed == 0)) && say "no reports"
exit $failed
