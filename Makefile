# Each target does its own set-up: system packages (where root or sudo allows;
# otherwise it prints the line to run) and what is fetched into the cache folder.
# A second run finds all of it in place.

export PATH := $(PATH):$(HOME)/.cargo/bin
SETUP := deploy/setup

.DEFAULT_GOAL := help
.PHONY: help build demo test soak check bench bench-peers clean

help: ## this list
	@sed -n 's/^\([a-z-]*\): .*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 13

build: ## target/release/bartizan, and what it needs at run time
	@$(SETUP)/system.sh build
	@$(SETUP)/runtime.sh
	@$(SETUP)/build.sh

demo: build ## the daemon on simulated traffic with attacks; prints the console's address
	@exec target/release/bartizan demo $(ARGS)

test: ## all tests, on real parts: Kafka, ClickHouse, SMTP, a browser
	@$(SETUP)/system.sh test
	@$(SETUP)/runtime.sh
	@$(SETUP)/test-parts.sh
	cargo test --workspace --locked

soak: ## the simulation of the whole daemon over SOAK_SEEDS seeds
	@$(SETUP)/system.sh build
	SOAK_SEEDS=$(or $(SOAK_SEEDS),2000) cargo test --lib --locked simulation::soak -- --ignored --nocapture

check: ## formatting, lints, licences and advisories of dependencies
	@$(SETUP)/system.sh build
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	python3 $(SETUP)/dependencies.py

bench: ## what each stage of the hot path costs, beside a hand-written loop (BENCH_EVENTS, BENCH_ROUNDS)
	@$(SETUP)/system.sh build
	@$(SETUP)/runtime.sh
	cargo bench --locked --bench stages

bench-peers: build ## replay against RSigma over the same events
	@benches/peers/run.sh

clean: ## removes what was built; the cache folder stays
	cargo clean
