# `make` alone lists what there is to do. Each target installs what it needs by scripts/prerequisites.

SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# More words for the program that a target runs, as in: make dev ARGS="--once 40"
ARGS ?=
# How long `make sim` runs.
SECONDS ?= 60
# Which tests `make test` runs, as in: make test TESTS=linter
TESTS ?=

tools := $(shell scripts/prerequisites tools-folder)
export PATH := $(tools)/bin:$(PATH)

.PHONY: help dev test test-real volume chaos lint sim defects bench instructions times api fuzz mutants participants services clean-services

help: ## lists the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 24

dev: ## runs Sagabus with sample services and a broker of its own: ARGS="--once 40" runs 40 sagas and stops
	@scripts/prerequisites build postgres
	@echo "building (a first build takes some minutes)" >&2
	@cargo build --locked
	@cargo run --locked --quiet -- dev $(ARGS)

test: lint ## runs all checks and all tests, on a Kafka and a Postgres of its own
	@scripts/test $(TESTS)

test-real: ## replays 100 recorded histories of the simulator on a real Kafka and Postgres: part of `make test`
	@scripts/test recorded

volume: ## tries a job over 10,000 sagas, killed eight times, and a replay of 100,000, in some five minutes
	@scripts/test --run-ignored only ten_thousand a_hundred_thousand

chaos: ## fires faults at the real stack, with a ledger: ARGS="--minutes 10" for less, ARGS="--row A1" for one kind
	@scripts/chaos $(ARGS)

lint: ## checks format, lints, documentation and dependencies
	@scripts/prerequisites build tools download
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	cargo clippy --locked --example simulation --features seeded-defects -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps
	cargo deny check --hide-inclusion-graph --allow duplicate bans licenses sources

simulation := cargo run --locked --quiet --profile sim --example simulation

sim: ## runs schedules of the simulated world: SECONDS=600, ARGS="--seed 7" tells one, ARGS="--crash-points" strikes every poll, ARGS="--races" lets two operators meet
	@scripts/prerequisites build
	@$(simulation) -- --seconds $(SECONDS) $(ARGS)

defects: ## shows that the simulator catches every seeded defect: ARGS="--defect NAME" for one
	@scripts/prerequisites build
	@$(simulation) --features seeded-defects -- $(or $(ARGS),--defects)

bench: ## measures what an engine gives, on a fresh Kafka and Postgres, some forty minutes: ARGS="run --inflight 2000" for one load
	@scripts/bench $(ARGS)

instructions: ## counts the instructions of the parts of the line, under valgrind, and fails where one takes more than its limit
	@scripts/instructions $(ARGS)

times: ## times the parts of the line: ARGS=decide for some of them
	@scripts/times $(ARGS)

api: ## asks every route of the HTTP API what its document allows and forbids (schemathesis): ARGS="--max-examples 500"
	@scripts/api $(ARGS)

fuzz: ## looks for inputs that break something, 30 seconds a target: SECONDS=300 ARGS="journals records"
	@scripts/fuzz $(or $(SECONDS),30) $(ARGS)

mutants: ## changes the rules in every small way, and shows which changes no test notices: ARGS="--shard 0/4"
	@scripts/mutants $(ARGS)

participants: ## drives the example participants, one in each language, through the cases of the contract
	@scripts/participants $(ARGS)

services: ## starts Kafka and Postgres for development, and prints their addresses
	@scripts/services up
	@scripts/services env

clean-services: ## stops all services of this clone and deletes their data
	@for name in '' test bench chaos chaos-cluster participants; do scripts/services down --wipe --name "$$name"; done
