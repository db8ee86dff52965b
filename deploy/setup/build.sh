#!/usr/bin/env bash
# Builds the release binary and leaves it at target/release/bartizan, also where
# cargo is configured to build elsewhere.

source "$(dirname "$0")/common.sh"

cd "$setup_dir/../.."
"$setup_dir/release.sh" cargo build --release --locked --bin bartizan
built=$(cargo metadata --format-version=1 --no-deps --offline |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')
[[ $built == "$PWD/target" ]] || install -D "$built/release/bartizan" target/release/bartizan
