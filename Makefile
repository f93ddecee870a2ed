# Two commands matter: `make demo` and `make test`. Both install all they need into .venv first.
SHELL := /bin/bash
PYTHON ?= python3
UV_VERSION := 0.13.9
UV := .uv/bin/uv
BIN := .venv/bin
export TRADING_PIPELINE_HOME ?= $(CURDIR)/.trading_pipeline
# Tests wait much of their time, for processes and sockets: three keep two cores busy.
WORKERS ?= 3
TESTS := trading_pipeline_tests
OTHER_BROKERS := $(sort $(wildcard $(TESTS)/adapters/test_*_broker.py $(TESTS)/adapters/test_alpaca_*.py)) $(TESTS)/venue/alpaca
OF_BROKERS ?= not soak
IB := $(wildcard $(TESTS)/adapters/test_ib_*.py) $(TESTS)/venue/tws

.DEFAULT_GOAL := help
.PHONY: help install install-dev demo test test-brokers test-ib-async soak check up ui bench lock clean

help:  ## what can be done
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 12

demo: install  ## build a synthetic market, trade five sessions of it through Dagster, show the result
	@$(BIN)/trading-pipeline demo $(ARGS)

test: install-dev  ## run the tests
	@$(BIN)/pytest -n $(WORKERS) --dist worksteal $(ARGS)

test-brokers: install-dev  ## run brokers and their doors: IB with ib_insync, then with ib_async
	@$(BIN)/pytest -n $(WORKERS) --dist worksteal -m "$(OF_BROKERS)" $(OTHER_BROKERS) $(IB)
	@$(MAKE) --no-print-directory test-ib-async

test-ib-async: .venv-ib-async/.installed  ## run the tests of Interactive Brokers with ib_async
	@.venv-ib-async/bin/pytest -n $(WORKERS) --dist worksteal -m "not soak" $(IB)

soak: install-dev  ## run the long tests: shuffles, crashes at every kind of point, a million steps of the machine
	@SOAK=1 $(BIN)/pytest -n $(WORKERS) --dist worksteal -m soak $(ARGS)
	@SOAK=1 $(BIN)/pytest trading_pipeline_tests/domain/test_order_permutations.py
	@$(BIN)/python -m trading_pipeline_tests.crash --workers $(WORKERS)
	@$(BIN)/python -m trading_pipeline_tests.crash --workers $(WORKERS) --ledger postgresql --days partial_entry,target_fill
	@for door in alpaca ib; do for sweep in crash crash.faults crash.venue_death; do \
	echo "$$sweep at the $$door door" && $(BIN)/python -m trading_pipeline_tests.$$sweep --door $$door || exit 1; done; done
	@$(BIN)/python -m trading_pipeline_tests.machine --workers $(WORKERS) --steps 1000000
	@$(BIN)/python -m trading_pipeline_tests.machine --workers $(WORKERS) --steps 10000 --ledger sqlite
	@$(BIN)/python -m trading_pipeline_tests.virtual

check: install-dev  ## lint, format, types, layers
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

up: install  ## start all that trades on this machine, with the UI on http://127.0.0.1:3000 (Ctrl-C stops it)
	@$(BIN)/trading-pipeline up $(ARGS)

ui: install  ## open the Dagster UI on http://127.0.0.1:3000; nothing starts by itself (Ctrl-C stops it)
	@$(BIN)/trading-pipeline ui $(ARGS)

bench: .venv-bench/.installed  ## measure in an environment of its own, and write docs/benchmarks.md
	@.venv-bench/bin/python -m trading_pipeline_tests.benchmarks $(ARGS)

install: .venv/.installed  ## install what running needs, with hashes
install-dev: .venv/.installed-dev  ## install what developing needs, with hashes

.uv/.$(UV_VERSION):
	@echo "Installing uv $(UV_VERSION) into .uv ..."
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is not installed: install Python 3.11, 3.12 or 3.13, or pass PYTHON=..."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' || { echo "$(PYTHON) is $$($(PYTHON) -V): 3.11, 3.12 or 3.13 is needed. Pass PYTHON=/path/to/python3.12"; exit 1; }
	@$(PYTHON) -m venv .uv || { echo "python3 -m venv failed: on Debian or Ubuntu, apt-get install python3-venv"; exit 1; }
	@.uv/bin/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION) 2> .uv/pip.log || { cat .uv/pip.log; exit 1; }
	@touch $@

.venv/bin/python: .uv/.$(UV_VERSION)
	@$(UV) venv --quiet --allow-existing --python "$$(command -v $(PYTHON))" .venv
	@touch $@

.venv/.installed: .venv/bin/python requirements.lock pyproject.toml
	@if [ -e .venv/.installed-dev ] && [ .venv/.installed-dev -nt requirements.lock ] && [ .venv/.installed-dev -nt pyproject.toml ]; then touch $@; else \
	echo "Installing packages (hashed, about a minute) ..." && \
	$(UV) pip sync --quiet --require-hashes requirements.lock && \
	$(UV) pip install --quiet --no-deps --editable . && rm -f .venv/.installed-dev && touch $@; fi

.venv/.installed-dev: .venv/bin/python requirements-dev.lock pyproject.toml
	@echo "Installing packages for development (hashed, about a minute) ..."
	@$(UV) pip sync --quiet --require-hashes requirements-dev.lock
	@$(UV) pip install --quiet --no-deps --editable .
	@touch $@ .venv/.installed

.venv-bench/.installed: .uv/.$(UV_VERSION) requirements-dev.lock pyproject.toml
	@echo "Installing packages for the benchmarks (hashed, about a minute) ..."
	@$(UV) venv --quiet --allow-existing --python "$$(command -v $(PYTHON))" .venv-bench
	@$(UV) pip sync --quiet --python .venv-bench/bin/python --require-hashes requirements-dev.lock
	@$(UV) pip install --quiet --python .venv-bench/bin/python --no-deps --editable .
	@touch $@

.venv-ib-async/.installed: .uv/.$(UV_VERSION) requirements-ib-async.lock pyproject.toml
	@echo "Installing packages for ib_async (hashed, about a minute) ..."
	@$(UV) venv --quiet --allow-existing --python "$$(command -v $(PYTHON))" .venv-ib-async
	@$(UV) pip sync --quiet --python .venv-ib-async/bin/python --require-hashes requirements-ib-async.lock
	@$(UV) pip install --quiet --python .venv-ib-async/bin/python --no-deps --editable .
	@touch $@

lock: .uv/.$(UV_VERSION)  ## pin dependencies anew from pyproject.toml
	@$(UV) pip compile --quiet --universal --generate-hashes --no-header -o requirements.lock pyproject.toml
	@$(UV) pip compile --quiet --universal --generate-hashes --no-header --extra dev -o requirements-dev.lock pyproject.toml
	@$(UV) pip compile --quiet --universal --generate-hashes --no-header --extra dev --extra ib-async --no-emit-package ib-insync --no-emit-package eventkit -o requirements-ib-async.lock pyproject.toml

clean:  ## remove environments, caches and the local home (.trading_pipeline)
	rm -rf .uv .venv .venv-bench .venv-ib-async .trading_pipeline .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache build *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
