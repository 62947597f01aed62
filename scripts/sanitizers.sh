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
tests=(dist/test/netns/{pods,kernel-peer,flannel-udp-peer,membership,unreachable,peer-errors,raw-sender,corpus,capture,trace}.test.js)
# One test of the corpus loads the addon into its own process, which has no runtime.
tests+=(--match='!*drop reason has three cases*')

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

# daemons_under <name> <compiler flags> <runtime> <AVA's arguments>…
daemons_under() {
  local reports=$tree/reports-$1 wrapper=$tree/wrapper runtime
  say "daemons under $1"
  build "$2"
  runtime=$(realpath "$(gcc -print-file-name="$3")")
  mkdir "$reports"
  # Reports go to stderr. In front of Node alone, since everything else would only become slow.
  printf '#!/bin/bash\nexec env LD_PRELOAD=%q "$@" 2> >(tee %q/$$ >&2)\n' "$runtime" "$reports" >"$wrapper"
  chmod +x "$wrapper"
  # No leak check here: it would list what Node keeps until it exits. The unit tests have it.
  # ThreadSanitizer sees all of our code, but of Node's only calls like memcpy, and not the atomics that order them:
  # without its option it would report Node.
  (cd "$tree" && WEFTD_WRAPPER=$wrapper \
    ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 TSAN_OPTIONS=ignore_noninstrumented_modules=1 \
    npx --no-install ava --tap --concurrency="$(nproc)" --timeout=5m "${@:4}") >"$tree/output" 2>&1 || failed=1
  grep -q '^ok ' "$tree/output" || failed=1
  grep -v '^ok ' "$tree/output" | grep -A20 '^not ok' || true
  if grep -lE 'Sanitizer|runtime error' "$reports"/* >"$tree/reported"; then
    xargs cat <"$tree/reported"
    failed=1
  fi
}

unit_tests asan
unit_tests tsan
asan=(AddressSanitizer '-fsanitize=address,undefined -fno-sanitize-recover=all' libasan.so)
tsan=(ThreadSanitizer -fsanitize=thread libtsan.so)
if ((quick)); then
  daemons_under "${asan[@]}" dist/test/netns/pods.test.js --match='*with offloads between the hosts'
  daemons_under "${tsan[@]}" dist/test/netns/membership.test.js
else
  # Not under ThreadSanitizer: its transfers are long enough to take minutes there.
  daemons_under "${asan[@]}" "${tests[@]}" dist/test/netns/path-mtu.test.js
  daemons_under "${tsan[@]}" "${tests[@]}"
fi
((failed == 0)) && say "no reports"
exit $failed
