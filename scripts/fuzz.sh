#!/usr/bin/env bash
# Fuzzes the native code: builds the targets of native/fuzz for libFuzzer, runs each from the inputs kept in
# native/fuzz/corpus, and adds the inputs that reached something new, minimised. See the help below.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '→ %s\n' "$*" >&2; }
fail() {
  printf 'fuzz: %s\n' "$*" >&2
  exit 2
}

seconds=60 jobs=1 targets=()
mapfile -t all < <(grep -o '^TARGET.[a-z_]*' native/fuzz/targets.def | cut -c8-)
while (($# > 0)); do
  case $1 in
  --seconds | --jobs)
    [[ ${2-} =~ ^[1-9][0-9]*$ ]] || fail "$1 takes a number"
    declare "${1#--}=$2"
    shift
    ;;
  -h | --help)
    cat <<HELP
npm run fuzz -- [--seconds N] [--jobs N] [target…]

Runs the fuzz targets with clang's libFuzzer, AddressSanitizer and UndefinedBehaviorSanitizer, and prints what was
reached. Inputs that reach new code are kept in native/fuzz/corpus, which every \`npm test\` replays. An input that
breaks something is kept in native/out/fuzz; the exit code is then 1.

  --seconds N   how long each target runs (default: 60)
  --jobs N      how many targets run at once (default: 1)

Targets (default: all): ${all[*]}
HELP
    exit 0
    ;;
  *)
    [[ " ${all[*]} " == *" $1 "* ]] || fail "there is no target '$1'; there are: ${all[*]}"
    targets+=("$1")
    ;;
  esac
  shift
done
((${#targets[@]} > 0)) || targets=("${all[@]}")

runtime=$(clang -print-file-name=libclang_rt.fuzzer-x86_64.a 2>/dev/null || true)
command -v clang >/dev/null || fail "clang is needed: apt-get install clang (Debian 12's 14 will do)"
[[ $(uname -m) != x86_64 || -e $runtime ]] || fail "this clang has no libFuzzer: apt-get install libclang-rt-14-dev"

say "building ${targets[*]}"
make --no-print-directory -s -j"$(nproc)" -C native "${targets[@]/#/out/fuzz/}"

work=native/out/fuzz/work
export ASAN_OPTIONS=quarantine_size_mb=16:detect_leaks=1

# Only what reaches a new edge is kept: libFuzzer's own corpora grow without end.
keep_new() {
  native/out/fuzz/"$1" -merge=1 -use_counters=0 -max_len=9000 native/fuzz/corpus/"$1" "$work/$1/found" \
    >"$work/$1/merge" 2>&1
}

run_target() {
  local name=$1 status=0
  mkdir -p "native/fuzz/corpus/$name"
  rm -rf "${work:?}/$name"
  mkdir -p "$work/$name/found"
  native/out/fuzz/"$name" -max_total_time="$seconds" -max_len=9000 -timeout=10 -print_final_stats=1 \
    -artifact_prefix="native/out/fuzz/$name-" "$work/$name/found" "native/fuzz/corpus/$name" \
    >"$work/$name/log" 2>&1 || status=1
  keep_new "$name" || status=1
  echo $status >"$work/$name/status"
}

for name in "${targets[@]}"; do
  while (($(jobs -rp | wc -l) >= jobs)); do wait -n || true; done
  say "$name, ${seconds} s"
  run_target "$name" &
done
wait

# Numbers in libFuzzer's log: "stat::number_of_executed_units: N", "cov: N" (edges of the instrumented code).
number() { grep -o "$2" "$work/$1/log" | grep -o '[0-9]*' | tail -n 1; }
failed=0
printf '%-10s %14s %11s %6s %7s\n' target executions per\ second edges inputs
for name in "${targets[@]}"; do
  executions=$(number "$name" 'number_of_executed_units: *[0-9]*' || echo 0)
  printf '%-10s %14d %11d %6d %7d\n' "$name" "$executions" $((executions / seconds)) \
    "$(number "$name" 'cov: [0-9]*' || echo 0)" \
    "$(find "native/fuzz/corpus/$name" -type f | wc -l)"
  if [[ $(<"$work/$name/status") != 0 ]]; then
    failed=1
    printf '\n%s failed:\n' "$name"
    grep -E 'ERROR|runtime error|\.c:[0-9]+: |^SUMMARY|Test unit written' "$work/$name/log" | head -n 12
  fi
done
((failed == 0)) || printf '\nOne input again: native/out/fuzz/<target> <file>. Once repaired, it belongs into the corpus.\n'
exit $failed
