#!/usr/bin/env bash
# `make profile`: takes the profile anew by which release builds are optimised (release.sh): an
# instrumented build replays simulated traffic and runs the demo for a minute. Worth doing when the
# hot path has changed much; functions that changed since are compiled as without a profile.

source "$(dirname "$0")/../common.sh"

cd "$setup_dir/../.."
profile=$setup_dir/profile work=$PWD/target/profile
rustup component add llvm-tools
llvm_profdata=$(rustc --print sysroot)/lib/rustlib/$(rustc -vV | sed -n 's/^host: //p')/bin/llvm-profdata

export CARGO_TARGET_DIR=$work
RUSTFLAGS=-Cprofile-generate=$work/raw cargo build --release --locked --bin bartizan
# Build scripts and macros were instrumented, too.
rm -rf "$work/raw"
bartizan=$work/release/bartizan
make_scratch
"$bartizan" simulate --seed 77 --events 200000 --out "$scratch/events.jsonl" --labels "$scratch/labels.jsonl"
"$bartizan" replay --format bartizan --alerts "$scratch/alerts.jsonl" "$scratch/events.jsonl"
(cd "$scratch" && timeout --signal TERM 60 "$bartizan" demo --seed 3 >/dev/null 2>&1) || [[ $? == 124 ]]

"$llvm_profdata" merge --text "$work/raw" | python3 "$profile/hot.py" >"$scratch/hot.proftext"
"$llvm_profdata" merge -o "$scratch/hot.profdata" "$scratch/hot.proftext"
gzip -9 -n <"$scratch/hot.profdata" >"$profile/hot.profdata.gz"
rustc -vV | grep -E '^(release|host|LLVM)' >"$profile/compiler"
say "the profile is in $profile"
