# The chores of this repository. `make help` tells what there is.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
CARGO ?= cargo

# A client that reads the description of the API and sends everything that it allows, from PyPI.
export SCHEMATHESIS ?= $(abspath target/tools/schemathesis/bin/schemathesis)

$(SCHEMATHESIS): .ci/schemathesis.txt
	@python3 -c 'import ensurepip' || { echo "error: python3 with its venv is needed to test the API: install python3 and python3-venv" >&2; exit 1; }
	python3 -m venv --clear $(@D)/..
	$(@D)/pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

# From when on `make test` counts how long it takes.
export MAKE_BEGUN := $(shell date +%s)

# LAB=0 leaves out the tests that need the lab's real servers, and Go, which builds them.
export LAB ?= 1

.PHONY: help
help: ## List what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "  What comes later is in docs/design/roadmap.md; known words of later versions: tripline help"

.PHONY: demo
demo: ## Build Tripline, let a push, a webhook, a timer and a cluster do their work over a kill -9, check each claim
	$(CARGO) build --locked --package tripline-cli
	$(CARGO) xtask demo

.PHONY: test
test: fmt clippy tidy $(if $(filter 0,$(LAB)),,lab) $(SCHEMATHESIS) ## Check format, lints and house rules, then run every test; ends with how long it took and "N passed, N failed"
	@$(CARGO) xtask test

.PHONY: lab
lab: ## Build the real servers that tests talk to, where they are not built yet (needs Go)
	@$(CARGO) run --locked --quiet --package tripline-lab

.PHONY: lint
lint: fmt clippy tidy deny ## Everything that can be said without running the tests, dependencies included

.PHONY: bench
bench: ## Run the crates' measurements, optimised
	$(CARGO) bench --locked --workspace --bench '*'

.PHONY: docs
docs: ## Build the Rust documentation of the workspace into target/doc
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps

.PHONY: fmt clippy tidy deny
fmt:
	$(CARGO) fmt --all --check

clippy:
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

tidy:
	$(CARGO) xtask tidy

deny:
	@if $(CARGO) deny --version >/dev/null 2>&1; then \
	  $(CARGO) deny --locked check licenses bans sources; \
	else \
	  echo "cargo-deny is not installed: tidy has checked the licences, bans and sources were not"; \
	fi
