# Every target does its own set-up: a virtual environment in the checkout, with the versions of constraints.txt.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Images of CI often set it; every process of a run would then compile the checkout anew, a second each.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup demo test check bench bench-peers chaos fuzz fuzz-wire audit compose-init clean
.DEFAULT_GOAL := help

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: Python 3.11 or newer is needed, $$($(PYTHON) -V) is found; set PYTHON=/path/to/python3.11"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[demo,dev,bench]'
	@touch $@

setup: $(STAMP) ## a virtual environment with everything in it

define PATH_HINT
@echo; echo 'To have `producer` and `worker` at hand:  export PATH="$(CURDIR)/$(BIN):$$PATH"'
endef

demo: $(STAMP) ## make a dataset with known truth, detect in it, score it
	$(BIN)/python -m demo dataset
	$(PATH_HINT)

# Four files at a time, also on two cores: most tests wait for processes to start or to be missed.
test: $(STAMP) ## all tests
	$(BIN)/python -m pytest -q -n 4 --dist loadfile --durations=10
	$(PATH_HINT)

check: $(STAMP) ## ruff, mypy strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP) ## sequential, threads, pools and the pipeline on the same images
	$(BIN)/python -m benchmarks.speedup

$(VENV)/.peers: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[peers]'
	@touch $@

bench-peers: $(VENV)/.peers ## the same beside Ray Data
	$(BIN)/python -m benchmarks.speedup --peers

chaos: $(STAMP) ## ten minutes of random faults into a real run, which must lose and change nothing
	$(BIN)/python -m chaos --seconds 600

#: Real images to damage, if any are at hand; without them some are made.
FUZZ_DATA ?= $(wildcard ../shared/data)

fuzz: $(STAMP) ## 10,000 damaged images through a real run: a row each, no process lost
	$(BIN)/python -m chaos.fuzz --count 10000 $(if $(FUZZ_DATA),--data $(FUZZ_DATA))

fuzz-wire: $(STAMP) ## 100,000 hostile messages to a real worker, a real run beside them
	$(BIN)/python -m chaos.wire --count 100000

audit: $(STAMP) ## known vulnerabilities of the pinned versions, asked of PyPI
	$(BIN)/python -m audit

#: Where `make compose-init` writes, and what of this machine the containers see: docs/containers.md.
ENV_FILE ?= .env
DATA ?= dataset
RUNS ?= runs

compose-init: ## .env with random passwords, for docker compose; DATA=your/images RUNS=where/results/go
	@sh deploy/compose-init.sh '$(ENV_FILE)' '$(DATA)' '$(RUNS)'

clean: ## what the targets above have made, but not your runs
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache dataset demo-runs bench-results build *.egg-info
