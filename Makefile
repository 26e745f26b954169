# greffier: everything that is done to the tree, in one place. `make help` lists it.
#
# Needs: a Rust toolchain, Go (for the test control plane), git and a C compiler.
# What is fetched or built for tests goes to a cache outside the tree.

SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS   += --no-print-directory
.DEFAULT_GOAL := help

CARGO ?= cargo
CACHE := $(or $(GREFFIER_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/greffier)

# Pinned: the same tree must get the same verdict tomorrow.
DENY_VERSION := 0.20.2
DENY         := $(CACHE)/cargo-deny-$(DENY_VERSION)/bin/cargo-deny
ADVISORIES   := $(or $(CARGO_HOME),$(HOME)/.cargo)/advisory-dbs

# $(call need,PROGRAM,HOW TO GET IT): a missing tool is a failure, never a silent skip.
need = command -v $(1) >/dev/null || { echo "make: $(1) is missing: $(2)" >&2; exit 1; }

.PHONY: help build test demo bench soak lint format clippy deny control-plane toolchain

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

build: toolchain ## build greffier (target/release/greffier)
	$(CARGO) build --locked --release --bin greffier

test: control-plane ## run every test, against a real API server too, and the demo as one of them
	$(CARGO) build --locked --bin greffier --examples
	$(CARGO) run --locked --quiet --example demo -- --once
	$(CARGO) test --locked

demo: control-plane ## play the story; stays up until Ctrl-C, with ONCE=1 verifies it and ends
	@echo "building greffier (minutes the first time)" >&2
	@$(CARGO) build --locked --release --bin greffier --example demo
	@$(CARGO) run --locked --release --quiet --example demo -- $(if $(filter-out 0,$(ONCE)),--once)

bench: control-plane ## measure; ONLY=push,drift chooses; prints a table and writes target/bench.json
	@echo "building greffier (minutes the first time)" >&2
	@$(CARGO) build --locked --release --bin greffier --example bench
	@$(CARGO) run --locked --release --quiet --example bench -- $(if $(ONLY),--only $(ONLY))

soak: control-plane ## look for what is rare: SEEDS=20000 simulated, KILLS=1000 real, SOAK=20 crash loops
	@first=$$RANDOM$$RANDOM; echo "simulation: GREFFIER_SEED_FIRST=$$first"; \
	GREFFIER_SEED_FIRST=$$first GREFFIER_SEEDS=$(or $(SEEDS),20000) \
	    $(CARGO) test --locked --release --quiet --lib simulation
	@seed=$$RANDOM$$RANDOM; echo "kills: GREFFIER_SEED=$$seed"; \
	GREFFIER_SEED=$$seed KILLS=$(or $(KILLS),1000) \
	    $(CARGO) test --locked --test it kills:: -- --nocapture
	@for round in $$(seq $(or $(SOAK),20)); do \
	    echo "round $$round: GREFFIER_SEED=$${seed:=$$RANDOM$$RANDOM}"; \
	    GREFFIER_SEED=$$seed $(CARGO) test --locked --quiet --test it crash::; unset seed; \
	done

lint: format clippy deny ## check formatting, clippy (warnings are errors) and dependencies

format: toolchain
	$(CARGO) fmt --check

clippy: toolchain
	$(CARGO) clippy --locked --all-targets -- -D warnings

deny: $(DENY)
	$(DENY) --log-level error check --hide-inclusion-graph licenses bans sources
	@if [ -d "$(ADVISORIES)" ]; then \
	    $(DENY) --log-level error check --disable-fetch advisories; \
	else \
	    echo "advisories: NOT CHECKED, there is no advisory database in $(ADVISORIES) (cargo deny fetch gets it)"; \
	fi

$(DENY): | toolchain
	@echo "installing cargo-deny $(DENY_VERSION) into $(CACHE) (minutes, once)" >&2
	@# Unoptimised: it compiles in a third of the time and answers in seconds all the same.
	CARGO_PROFILE_DEV_DEBUG=0 $(CARGO) install cargo-deny --debug --locked --version $(DENY_VERSION) --root $(CACHE)/cargo-deny-$(DENY_VERSION)

control-plane: toolchain ## build etcd, the API server, kubectl, helm and kwok for tests and demo
	@$(call need,go,install Go $(shell sed -n 's/^go //p' tests/cluster/go.mod) or newer and put it on PATH)
	@bash tests/cluster/build.sh >/dev/null

toolchain:
	@$(call need,$(firstword $(CARGO)),install Rust through rustup)
	@$(call need,cc,install a C compiler (apt install gcc))
	@$(call need,git,install it (apt install git))
