# Each target does its own set-up: system packages (where root or sudo allows;
# otherwise it prints the line to run) and what is fetched into the cache folder.
# A second run finds all of it in place.

export PATH := $(PATH):$(HOME)/.cargo/bin
SETUP := deploy/setup

.DEFAULT_GOAL := help
# What is measured is the binary that people build, under a name that cargo does not write to.
MEASURED = install target/release/bartizan target/measured && BARTIZAN=$(CURDIR)/target/measured
EVALUATE_SEEDS ?= 901..=910
EVADE_SEEDS ?= 1001
EVALUATE_FLOORS ?= --floor-recall 0.95 --floor-kind 0.8 --max-false 10 --max-low 200

.PHONY: help build demo test evaluate ablate evade soak check bench bench-peers bench-kafka bench-bounds bench-revocation profile clean

help: ## this list
	@sed -n 's/^\([a-z-]*\): .*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 13

build: ## target/release/bartizan, and what it needs at run time
	@$(SETUP)/system.sh build
	@$(SETUP)/runtime.sh
	@$(SETUP)/build.sh

demo: build ## the daemon on simulated traffic with attacks; prints the console's address
	@exec target/release/bartizan demo $(ARGS)

test: ## all tests, on real parts: Kafka, ClickHouse, Keycloak, SMTP, a browser
	@$(SETUP)/system.sh test
	@$(SETUP)/runtime.sh
	@$(SETUP)/test-parts.sh
	cargo test --workspace --locked

evaluate: build ## what is found of simulated attacks and who is accused wrongly, over EVALUATE_SEEDS (901..=910); ARGS=--list for each
	@target/release/bartizan evaluate --seeds $(EVALUATE_SEEDS) $(EVALUATE_FLOORS) $(ARGS)

ablate: build ## what each detector, gate, rule and piece of evidence is worth, over EVALUATE_SEEDS (901..=910)
	@target/release/bartizan evaluate --seeds $(EVALUATE_SEEDS) --ablate $(ARGS)

evade: build ## how much a day an attacker gets away with who knows the defaults, by strategy (EVADE_SEEDS, 1001)
	@target/release/bartizan evaluate --seeds $(EVADE_SEEDS) --evade $(ARGS)

soak: export SOAK_SEEDS ?= 2000
soak: export SOAK_ROUNDS ?= 200
soak: export SOAK_EVENTS ?= 2000000
soak: ## SOAK_SEEDS (2,000) simulations, an hour of 100,000 alerts, SOAK_ROUNDS (200) kills over SOAK_EVENTS (2,000,000), then outages of SOAK_OUTAGE_S (20) seconds
	@$(SETUP)/system.sh test
	@$(SETUP)/runtime.sh
	@$(SETUP)/test-parts.sh
	cargo test --release --locked --lib simulation::soak -- --ignored --nocapture
	FLOOD_ALERTS=100000 cargo test --release --locked --lib flood_tests -- --nocapture
	cargo test --release --locked --test integration -- --include-ignored --nocapture --test-threads 1 kills:: outages::

check: ## formatting, lints, licences and advisories of dependencies
	@$(SETUP)/system.sh build
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	python3 $(SETUP)/dependencies.py

bench: build ## what each stage of the hot path costs, beside a hand-written loop (BENCH_EVENTS, BENCH_ROUNDS)
	$(MEASURED) cargo bench --locked --bench stages

bench-peers: build ## replay against RSigma over the same events
	@benches/peers/run.sh

bench-kafka: build ## latency and cost between real Kafka and ClickHouse, and rules in SQL (BENCH_PARTS, BENCH_RATE ...)
	@$(SETUP)/system.sh test
	@$(SETUP)/test-parts.sh
	$(MEASURED) cargo bench --locked --bench kafka

bench-bounds: build ## a flood of random keys, and growth of the number of users (BENCH_PARTS, BENCH_FLOOD ...)
	$(MEASURED) cargo bench --locked --bench bounds

bench-revocation: export RUNS ?= 200
bench-revocation: ## RUNS (200) stolen sessions at a real Keycloak: how long each lives on after the event that proves the theft
	@$(SETUP)/system.sh test
	@$(SETUP)/runtime.sh
	@$(SETUP)/test-parts.sh
	cargo test --release --locked --test integration revocation::stolen_sessions -- --ignored --nocapture

profile: ## takes the profile anew by which release builds are optimised
	@$(SETUP)/system.sh build
	@$(SETUP)/runtime.sh
	@$(SETUP)/profile/take.sh

clean: ## removes what was built; the cache folder stays
	cargo clean
