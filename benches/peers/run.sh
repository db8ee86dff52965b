#!/usr/bin/env bash
# `make bench-peers`: RSigma with three correlation rules against `bartizan replay` with all detectors,
# over the same events, on one core. Prints processor time (user and system), medians of several rounds
# that take turns. Environment: BENCH_EVENTS, BENCH_ROUNDS, BENCH_SEED.
. "$(dirname "${BASH_SOURCE[0]}")/../../deploy/setup/common.sh"

version=0.23.0
events=${BENCH_EVENTS:-400000}
rounds=${BENCH_ROUNDS:-5}
root=$(cd "$setup_dir/../.." && pwd)
bartizan=${BARTIZAN:-${CARGO_TARGET_DIR:-$root/target}/release/bartizan}
tools=$cache/bench

if ! present "$tools/rsigma.version" "$version"; then
    lock_cache
    say "building rsigma $version"
    # With its default features: this version does not build without them.
    cargo install rsigma --version "$version" --locked --root "$tools" ||
        fail "rsigma $version cannot be installed"
    stamp "$tools/rsigma.version" "$version"
fi
[[ -x $bartizan ]] || fail "there is no $bartizan: run make build"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$bartizan" simulate --seed "${BENCH_SEED:-1}" --events "$events" --out "$work/events.jsonl" --labels "$work/labels.jsonl"
: >"$work/empty.jsonl"

# seconds COMMAND...: its processor time.
seconds() {
    local TIMEFORMAT='%U %S' taken
    taken=$({ time taskset -c 0 "$@" >"$work/out" 2>"$work/err"; } 2>&1) || { cat "$work/err" >&2; fail "failed: $*"; }
    awk '{ print $1 + $2 }' <<<"$taken"
}
own() { seconds "$bartizan" replay --format bartizan "$1"; }
peer() {
    seconds env RAYON_NUM_THREADS=1 "$tools/bin/rsigma" engine eval --rules "$root/benches/peers/rules.yml" --no-detections \
        --input-format json --timestamp-field time --event "@$1"
}
median() { sort -g | awk '{ values[NR] = $1 } END { print values[int((NR + 1) / 2)] }'; }

for ((round = 0; round < rounds; round++)); do
    own "$work/events.jsonl" >>"$work/own"
    alerts=$(wc -l <"$work/out")
    own "$work/empty.jsonl" >>"$work/own.start"
    peer "$work/events.jsonl" >>"$work/peer"
    matches=$(grep -c . "$work/out" || true)
    peer "$work/empty.jsonl" >>"$work/peer.start"
done
report() {
    local taken start
    taken=$(median <"$work/$2") start=$(median <"$work/$2.start")
    awk -v name="$1" -v events="$events" -v taken="$taken" -v start="$start" -v found="$3" 'BEGIN {
        printf "%-34s %7.2f s, %5.2f s of it start-up %10.0f events/s %8d lines of output\n", name, taken, start, events / (taken - start), found }'
}
printf '%s events, processor time of one core, median of %s\n\n' "$events" "$rounds"
report "bartizan replay, all detectors" own "$alerts"
report "rsigma $version, three rules" peer "$matches"
paste <(median <"$work/own") <(median <"$work/own.start") <(median <"$work/peer") <(median <"$work/peer.start") |
    awk '{ printf "\nbartizan : rsigma %.2f, start-up left out (%.2f with it)\n", ($3 - $4) / ($1 - $2), $3 / $1 }'
