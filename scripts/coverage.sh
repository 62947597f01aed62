#!/usr/bin/env bash
# Measures what the tests reach, and fails where that is less than CONTRIBUTING.md says:
#   native  native/core, by the unit tests in C and the corpora of the fuzz targets (gcov)
#   src     src/, by all tests in TypeScript; the daemons they start write down their part when they exit (c8)
# Prints a table and the lines that were not reached. `npm run coverage -- native` measures only that.
set -euo pipefail
cd "$(dirname "$0")/.."
parts=("$@")
((${#parts[@]} > 0)) || parts=(native src)

# Lines of gcov's annotated source are `count: number: text`, with ##### for zero and - for no code.
summarise='
  $1 ~ /-$/ && $2 == "    0" { source = $4; current = $3 == "Source" && source ~ /^core\/.*\.c$/; next }
  !current || $1 ~ /-$/ { next }
  { lines[source]++ }
  $1 ~ /####/ { missed[source]++; where[source] = where[source] " " $2 + 0 }
  END {
    for (source in lines) {
      all = source ~ /^core\/(ip|vxlan|neighbour|fib|icmp)\.c$/
      percent = 100 * (lines[source] - missed[source]) / lines[source]
      bad = percent < (all ? 100 : 95)
      failed = failed || bad
      printf "%-18s %5d %8.2f %8d  %s\n", source, lines[source], percent, all ? 100 : 95,
        (bad ? "too little:" : "") where[source] | "sort"
    }
    close("sort")
    exit failed
  }'

cover_native() {
  local output
  output=$(make --no-print-directory -s -C native coverage) || {
    grep -v '^ok ' <<<"$output"
    return 1
  }
  printf '%-18s %5s %8s %8s  %s\n' file lines reached wanted 'not reached'
  (cd native && gcov -t -o out/coverage/core out/coverage/core/*.gcda | awk -F: "$summarise")
}

cover_src() {
  bash scripts/setup.sh
  # A file that holds nothing but types is compiled to this line, and never loaded.
  local types file exclude=()
  mapfile -t types < <(grep -rlx 'export {};' dist/src --include='*.js')
  for file in "${types[@]}"; do exclude+=(--exclude "$file"); done
  npx --no-install c8 --all --src dist/src --include 'dist/src/**' "${exclude[@]}" --clean --check-coverage --lines 90 \
    --reporter text --reporter html --reports-dir coverage --temp-directory coverage/tmp \
    npx ava --concurrency="$(nproc)"
}

failed=0
for part in "${parts[@]}"; do
  case $part in
  native | src) "cover_$part" || failed=1 ;;
  *) echo "coverage: there is native and src, not '$part'" >&2 && exit 2 ;;
  esac
done
exit $failed
