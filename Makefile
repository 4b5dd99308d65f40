# `make` alone lists the targets. They install everything into .venv and .lab. Only a missing Chromium needs root.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
NETWORK := .lab/npm/.ready
# No I/O there, by import contract (pyproject.toml): every branch must be tested.
PURE := sidecar/access/*,sidecar/request/*,sidecar/settings/*,sidecar/hosts.py,sidecar/atproto/syntax.py

unexport PYTHONDONTWRITEBYTECODE  # otherwise every process compiles every module again

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup fmt lint types test test-fast bench bench-end-to-end bench-quick interop demo run dist clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY) $(NETWORK) ## install everything into .venv and .lab

$(READY): tests/requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name one with: make PYTHON=python3.13" >&2; exit 1; }
	@echo "== Python packages into $(VENV) (about a minute the first time)"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
		{ rm -rf $(VENV); echo "On Debian and Ubuntu: sudo apt-get install python3-venv" >&2; exit 1; }
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip --default-pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement tests/requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(NETWORK): $(READY) tests/lab/package.json tests/lab/package-lock.json
	$(BIN)/python -m tests.lab.node

fmt: $(READY) ## format the code
	$(BIN)/ruff check --fix --exit-zero --quiet
	$(BIN)/ruff format
	for file in $$(git ls-files '*Caddyfile*'); do $(BIN)/caddy fmt --overwrite "$$file"; done

lint: $(READY) ## style, import contracts
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports --no-logo

types: $(READY) ## mypy, strict
	$(BIN)/mypy

# One run for all: the end-to-end tests share one worker (tests/conftest.py), and the others use any worker.
test: lint types $(NETWORK) ## everything: lint, types, all tests, branch coverage and its thresholds
	@bash tests/lab/chromium.sh
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n 2 --max-worker-restart=0
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --fail-under=95
	$(BIN)/coverage report --fail-under=100 --include='$(PURE)'

test-fast: $(READY) ## all tests but the end-to-end ones
	$(BIN)/pytest -m 'not e2e' -n 3 --max-worker-restart=0  # two cores: some tests wait

bench: $(READY) ## what a check costs, beside other servers; writes bench/results (under 10 minutes)
	$(BIN)/python -m bench

bench-end-to-end: $(READY) ## only the way through Caddy, in many rounds (under 40 minutes)
	$(BIN)/python -m bench --end-to-end

bench-quick: $(READY) ## what bench does, but too short to judge by (under 2 minutes)
	$(BIN)/python -m bench --quick

interop: setup ## sign in at every server that can be had; writes docs/interop.md (15 minutes)
	@bash tests/lab/chromium.sh
	$(BIN)/python -m tests.interop

demo: setup ## a whole network on this machine, with two accounts: open http://127.0.0.1:8080/
	$(BIN)/python -m tests.lab.demo

run: $(READY) ## the same sidecar, Caddy and app, for real accounts (needs the internet)
	$(BIN)/python -m tests.lab.demo --public

dist: $(READY) ## wheel and sdist into dist/, the same bytes each time
	rm -rf dist
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(BIN)/python -m hatchling build

clean: ## remove what was built and installed
	rm -rf $(VENV) .lab artifacts .coverage .coverage.* htmlcov dist
	find . -name __pycache__ -prune -exec rm -rf {} +
