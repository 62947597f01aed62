#!/usr/bin/env bash
# The whole test suite: sets the machine up, runs the native core's tests, then AVA's on the compiled output.
# Arguments go to AVA, for one file (`npm test -- dist/test/unit/cidr.test.js`) or some tests (`--match='*peer*'`).
# Ends with `N passed, N failed`, counted from what ran; fails when something failed or nothing ran.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/setup.sh

output=$(mktemp)
trap 'rm -f "$output"' EXIT
status=0
make --no-print-directory -C native test 2>&1 | tee "$output" || status=1
# Namespaces and traffic of several files at once use the cores better than one after another.
npx ava --tap --concurrency="$(nproc)" "$@" 2>&1 | tee -a "$output" || status=1

# Both speak TAP.
passed=$(grep -c '^ok ' "$output" || true)
failed=$(grep -c '^not ok ' "$output" || true)
if ((failed == 0 && status != 0)) || ((passed == 0)); then failed=$((failed + 1)); fi
printf '%d passed, %d failed\n' "$passed" "$failed"
exit $((failed > 0))
