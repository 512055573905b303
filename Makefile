# `make` lists the targets. Everything is installed into .venv and node_modules, from the lock files, once.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

UV_VERSION := 0.13.9
PYTHON_VERSION := 3.11

VENV := .venv
# uv lives in an environment of its own: a sync removes from .venv whatever the lock file does not name.
UV := $(VENV)/uv-$(UV_VERSION)/bin/uv
# Any Python 3 can install uv, which then finds (or fetches) the Python of PYTHON_VERSION.
BOOTSTRAP := $(shell command -v python$(PYTHON_VERSION) || command -v python3)
NETWORK := ethereum:local:foundry

# Hypothesis profile of `make test`: ci or deep (tests/conftest.py).
PROFILE ?= ci
# Processes that share its tests, each with a chain of its own. No more by itself where there are more cores: Anvil is large.
WORKERS ?= 2
# Of the second half of `make report`, where it is not to have those of the first.
BACKTEST_ARGS ?= $(ARGS)

# ape looks for vyper and anvil on the path.
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

ifneq ($(filter margin,$(MAKECMDGOALS)),)
ifeq ($(strip $(CASE)),)
$(error margin needs a case file, or a folder of them: make margin CASE=path [OUT=path])
endif
endif

ifneq ($(filter publish,$(MAKECMDGOALS)),)
ifeq ($(strip $(CHAIN)),)
$(error publish needs a recorded chain, or the name of a snapshot: make publish CHAIN=path)
endif
endif

.PHONY: help setup demo report cascade test lint bench margin deploy publish keeper lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: $(VENV)/.stamp $(VENV)/.stamp-anvil ## Install Python packages and Anvil from the lock files

demo: setup ## Tell the story of a book on a chain, through a crash, into build/report.html
	@ape run demo --network $(NETWORK) $(ARGS)

report: setup ## Replay nine years of hourly prices through the scan range, into build/replay.html (ARGS="--data PATH")
	@ape run replay --network $(NETWORK) $(ARGS)
	@python -m scripts.backtest $(BACKTEST_ARGS)

cascade: setup ## Send traders through the worst crashes under each margin mode, into build/cascade.html (ARGS="--impact 0.3")
	@python -m scripts.cascade $(ARGS)

# Neighbours stay together, so that a module's contracts are mostly deployed by one process alone.
test: setup ## Run every test against Anvil (PROFILE=ci|deep, WORKERS=2, ARGS="-k name")
	HYPOTHESIS_PROFILE=$(PROFILE) python -m pytest --network $(NETWORK) -n $(WORKERS) --dist worksteal $(ARGS)

lint: setup ## Check style, types, natspec and contract size
	ruff check .
	ruff format --check .
	mypy
	python scripts/lint.py

bench: setup ## Measure gas and speed into build/bench.json
	ape run benchmark --network $(NETWORK) $(ARGS)

margin: setup ## Assess a case file or a folder of them (CASE=path, OUT=path)
	@ape run margin "$(CASE)" $(if $(strip $(OUT)),--out "$(OUT)") --network $(NETWORK) $(ARGS)

deploy: setup ## Deploy the protocol (NETWORK=ethereum:sepolia:node, ARGS="--account ALIAS")
	@ape run deploy --network "$(NETWORK)" $(ARGS)

publish: setup ## Sign a recorded chain and bring it on chain (CHAIN=path or snapshot, NETWORK=..., ARGS="--signer ALIAS")
	@ape run publish "$(CHAIN)" --network "$(NETWORK)" $(ARGS)

keeper: setup ## Watch accounts, start auctions and bid (NETWORK=ethereum:sepolia:node, ARGS="--bidder ID --account ALIAS")
	@ape run keeper --network "$(NETWORK)" $(ARGS)

lock: $(UV) ## Resolve pyproject.toml into requirements.lock (ARGS=--upgrade)
	$(UV) pip compile pyproject.toml --output-file requirements.lock --quiet \
	  --python-version $(PYTHON_VERSION) --extra dev --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-header $(ARGS)

clean: ## Remove what was built and cached (not the installed tools)
	rm -rf build .build .cache .pytest_cache .hypothesis .mypy_cache .ruff_cache
	find contracts python_model scripts tests -type d -name __pycache__ -prune -exec rm -rf {} +

# A stamp is newer than its lock file exactly when what the lock names is installed.

$(UV):
	@test -n "$(BOOTSTRAP)" || { echo "Python 3 is missing: install Python $(PYTHON_VERSION), then run make again" >&2; exit 1; }
	$(BOOTSTRAP) -m venv $(VENV)/uv-$(UV_VERSION)
	$(VENV)/uv-$(UV_VERSION)/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

$(VENV)/.stamp: requirements.lock | $(UV)
	test -x $(VENV)/bin/python || $(UV) venv --quiet --allow-existing --python $(PYTHON_VERSION) $(VENV)
	$(UV) pip sync --quiet --require-hashes --compile-bytecode --python $(VENV)/bin/python requirements.lock
	touch $@

node_modules/.stamp: package-lock.json
	@command -v npm >/dev/null || { echo "npm is missing: install Node 20 or later, then run make again" >&2; exit 1; }
	npm ci --no-audit --no-fund --ignore-scripts --loglevel=error
	touch $@

# ape needs the real binary: the package's own command is a wrapper, which a signal to stop would not pass. It asks for a
# record of every step of every transaction, which for a margin check is gigabytes: that is left out. And Anvil would leave
# old states in the home directory, a gigabyte and more for a run of all tests: it is told to keep none.
$(VENV)/.stamp-anvil: Makefile node_modules/.stamp $(VENV)/.stamp
	platform=$$(node -p '`$${process.platform}-$${process.arch === "x64" ? "amd64" : process.arch}`') && \
	  printf '%s\n' '#!/bin/sh' \
	    'for argument do shift; [ "$$argument" = --steps-tracing ] || set -- "$$@" "$$argument"; done' \
	    "exec \"$(CURDIR)/node_modules/@foundry-rs/anvil-$$platform/bin/anvil\" \"\$$@\" --prune-history" > $(VENV)/bin/anvil.new
	chmod +x $(VENV)/bin/anvil.new
	mv -f $(VENV)/bin/anvil.new $(VENV)/bin/anvil
	$(VENV)/bin/anvil --version
	touch $@
