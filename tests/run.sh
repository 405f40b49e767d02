#!/usr/bin/env bash
# Installs, builds and passes every test.
#
#   tests/run.sh           what CI runs: two compilers, sanitizers, gates, fuzzers, every scenario, the quickstart
#   tests/run.sh --quick   under three minutes: one build, units, gates, the main scenarios
#   tests/run.sh --full    adds the long runs: ten minutes a fuzzer, thread sanitizer, months of simulated traffic,
#                          kill -9 at random instants, benchmarks
#
# Options: --no-install skips the packages. Each stage's output is in build/logs/STAGE.log and shown when it fails.
set -uo pipefail
cd "$(dirname "$0")/.."
root=$PWD
mode=default
install=yes
for argument in "$@"; do
    case $argument in
    --quick | --full) mode=${argument#--} ;;
    --no-install) install=no ;;
    *)
        sed -n '2,10s/^# \{0,1\}//p' "$0"
        exit 2
        ;;
    esac
done
logs=$root/build/logs
mkdir -p "$logs"
passed=0
failed=0
skipped=0
jobs=${INCIDENTD_JOBS:-$(nproc)}
before=$(git status --porcelain 2>/dev/null || true)

# Adds what a stage's log says of its tests to the totals; a stage that counts nothing counts as one.
count() {
    local log=$1 ok=$2 good=0 bad=0 skip=0
    if grep -qE 'tests failed out of|tests passed' "$log"; then # ctest
        bad=$(sed -nE 's/.*, ([0-9]+) tests? failed out of.*/\1/p' "$log" | tail -n 1)
        good=$(sed -nE 's/.* failed out of ([0-9]+).*/\1/p' "$log" | tail -n 1)
        good=$((${good:-0} - ${bad:-0}))
    elif grep -qE '^(=+ )?[0-9]+ (passed|failed|skipped).* in [0-9.]+s' "$log"; then # pytest
        good=$(grep -oE '[0-9]+ passed' "$log" | tail -n 1 | grep -oE '[0-9]+')
        bad=$(grep -oE '[0-9]+ failed' "$log" | tail -n 1 | grep -oE '[0-9]+')
        skip=$(tail -n 1 "$log" | grep -oE '[0-9]+ skipped' | grep -oE '[0-9]+')
    else
        [ "$ok" = 0 ] && good=1 || bad=1
    fi
    [ "$ok" = 0 ] || [ "${bad:-0}" -gt 0 ] || bad=1
    passed=$((passed + ${good:-0}))
    failed=$((failed + ${bad:-0}))
    skipped=$((skipped + ${skip:-0}))
}

# stage NAME COMMAND...: runs it, logs it, says how it went; a failure does not stop the others.
stage() {
    local name=$1 start=$SECONDS rc=0
    shift
    "$@" >"$logs/$name.log" 2>&1 </dev/null || rc=$?
    count "$logs/$name.log" "$rc"
    if [ "$rc" = 0 ]; then
        printf 'ok    %-22s %4d s\n' "$name" $((SECONDS - start))
    else
        printf 'FAIL  %-22s %4d s, exit %d; the end of build/logs/%s.log:\n' "$name" $((SECONDS - start)) "$rc" "$name"
        tail -n 60 "$logs/$name.log" | sed 's/^/      | /'
    fi
    return "$rc"
}

build() {
    cmake --preset "$1" && cmake --build --preset "$1" -j "$jobs"
}

units() {
    ctest --preset "$1" -j "$jobs"
}

scenarios() { # PRESET [pytest arguments]
    local preset=$1
    shift
    # Three at a time, file by file: they mostly wait. -rs names what was skipped and why.
    INCIDENTD_BIN=$root/build/$preset/bin /usr/bin/python3 -m pytest -q -p no:cacheprovider -n 3 --dist loadfile \
        -rs --durations=10 tests/scenario "$@"
}

fuzz() { # SECONDS
    local seconds=$1 fuzzer name rc=0
    for fuzzer in build/fuzz/bin/fuzz_*; do
        name=${fuzzer##*/fuzz_}
        mkdir -p "build/fuzz/corpus/$name" "build/fuzz/crashes"
        seeds=()
        [ -d "tests/fuzz/corpus/$name" ] && seeds=("tests/fuzz/corpus/$name")
        dictionary=()
        [ -f "tests/fuzz/corpus/$name.dict" ] && dictionary=("-dict=tests/fuzz/corpus/$name.dict")
        echo "== $name"
        "$fuzzer" "${dictionary[@]}" "-max_total_time=$seconds" -timeout=10 -rss_limit_mb=2048 -close_fd_mask=1 \
            "-artifact_prefix=build/fuzz/crashes/$name-" "build/fuzz/corpus/$name" "${seeds[@]}" || rc=1
    done
    return $rc
}

clean_tree() {
    local after
    after=$(git status --porcelain 2>/dev/null || true)
    [ "$after" = "$before" ] && return 0
    echo "the tests left the tree changed:"
    git status --short
    return 1
}

if [ "$install" = yes ]; then
    stage install packages/install.sh build run test example || exit 1
fi

stage build-dev build dev || { echo "$passed passed, $failed failed"; exit 1; }
stage gate-format tests/gates/format.sh
stage gate-floors tests/gates/floors.py
stage gate-symbols tests/gates/symbols.py build/dev
stage gate-complexity tests/gates/complexity.sh
stage gate-contracts tests/gates/contracts.py
stage gate-words tests/gates/words.sh
stage units units dev

if [ "$mode" = quick ]; then
    stage scenarios scenarios dev -m quick
    stage gate-snippets tests/gates/snippets.py build/dev/bin
else
    stage gate-snippets tests/gates/snippets.py build/dev/bin
    stage build-clang build clang && stage gate-tidy tests/gates/tidy.sh build/clang
    stage build-asan build asan && stage units-asan units asan
    stage build-release build release
    if [ "$mode" = full ]; then
        export INCIDENTD_FULL=1
        stage units-long units dev
        stage build-tsan build tsan && stage units-tsan units tsan
    fi
    stage scenarios scenarios dev
    stage scenarios-asan scenarios asan -m quick
    seconds=10
    [ "$mode" = full ] && seconds=600
    stage build-fuzz build fuzz && stage fuzz fuzz "$seconds"
    stage quickstart examples/quickstart.sh --no-install
    if [ "$mode" = full ]; then
        for bench in tests/bench/*.py; do
            stage "bench-$(basename "$bench" .py)" /usr/bin/python3 "$bench"
        done
    fi
fi
stage clean-tree clean_tree

echo "logs in build/logs"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
