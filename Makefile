# `make help` lists what there is. Needs Python 3.11 or newer and make; everything else is fetched into .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYZ := dist/microlite.pyz
MINOR := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
SOURCES := $(shell find microlite scripts -type f -not -name '*.pyc' 2>/dev/null) pyproject.toml LICENSE
LOCKS := requirements/runtime.lock requirements/bundle.lock

# A stamp per lock and Python version: nothing is looked at again before one of them changes.
BUILD_VENV := $(VENV)/.build-$(MINOR)
DEV_VENV := $(VENV)/.dev-$(MINOR)
BENCH_VENV := $(VENV)/.bench-$(MINOR)
BUILT := dist/.built-for-$(MINOR)
BUILT_ALL := dist/.built-for-all

COMPILE = $(BIN)/uv pip compile --quiet --no-config --universal --python-version 3.11 --generate-hashes --no-header \
	--no-annotate --no-emit-index-url $(LOCK_OPTIONS)

.DEFAULT_GOAL := help
.PHONY: help run test fuzz crash soak check pyz bench reference lock clean
.DELETE_ON_ERROR:

help: ## Show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1	\2/p' $(MAKEFILE_LIST) | expand -t 16

run: $(BUILT) ## Build for this Python, start the platform and examples/greeter with hot reload
	@exec $(PYTHON) $(PYZ) run examples/greeter

test: $(DEV_VENV) ## Run the tests, but for the slow ones
	@$(BIN)/python -m pytest -n auto

fuzz: $(DEV_VENV) ## Call everything with generated input for a long time (FUZZ=50 times what CI does)
	@FUZZ=$(or $(FUZZ),50) $(BIN)/python -m pytest tests/openapi -n auto -o timeout=3600

soak: $(DEV_VENV) ## Show that memory stays flat: a million events with slow readers, a blob of 1 GiB (SOAK=100000 as CI does)
	@SOAK=$(or $(SOAK),1000000) $(BIN)/python -m pytest -s tests/memory tests/web_e2e/test_large_blobs.py

crash: $(DEV_VENV) ## Kill the platform and its services under load, and prove that nothing is lost (KILLS=100 SEED=…)
	@$(BIN)/python -m tests.crash.campaign --kills $(or $(KILLS),100) $(if $(SEED),--seed $(SEED))

check: $(DEV_VENV) ## Everything CI checks: format, lint, types, layers, tests
	@$(BIN)/ruff format --check --quiet . || { echo "not formatted: run $(BIN)/ruff format ."; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy --no-error-summary
	@said=$$($(BIN)/lint-imports 2>&1) || { echo "$$said"; exit 1; }
	@$(BIN)/python -m pytest -n auto tests

pyz: $(BUILT_ALL) ## Build dist/microlite.pyz for Python 3.11 to 3.14

bench: $(BENCH_VENV) ## Measure against the peers, install them first
	@$(BIN)/python -m benchmarks

reference: $(DEV_VENV) ## Write the generated pages of docs/reference anew
	@$(BIN)/python scripts/build_reference.py

lock: $(BUILD_VENV) ## Resolve requirements/*.lock again (LOCK_OPTIONS=--upgrade for the newest)
	@$(COMPILE) pyproject.toml -o requirements/runtime.lock
	@$(COMPILE) requirements/bundle.in -o requirements/bundle.lock
	@$(COMPILE) requirements/build.in -c requirements/runtime.lock -o requirements/build.lock
	@$(COMPILE) pyproject.toml requirements/build.in requirements/dev.in \
		-c requirements/runtime.lock -c requirements/build.lock -o requirements/dev.lock
	@$(COMPILE) pyproject.toml requirements/build.in requirements/dev.in requirements/bench.in \
		-c requirements/dev.lock -o requirements/bench.lock

clean: ## Remove everything that was built or fetched
	@rm -rf $(VENV) build dist .pyz-cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

$(BUILD_VENV): requirements/build.lock scripts/bootstrap.py
	@$(PYTHON) scripts/bootstrap.py $(VENV) $<
	@touch $@

$(DEV_VENV): requirements/dev.lock scripts/bootstrap.py
	@$(PYTHON) scripts/bootstrap.py $(VENV) $<
	@touch $@

$(BENCH_VENV): requirements/bench.lock scripts/bootstrap.py
	@$(PYTHON) scripts/bootstrap.py $(VENV) $<
	@touch $@

$(BUILT): $(SOURCES) $(LOCKS) | $(BUILD_VENV)
	@$(BIN)/python scripts/build_zipapp.py --python current
	@rm -f dist/.built-for-*
	@touch $@

# A file for all Pythons serves the current one too.
$(BUILT_ALL): $(SOURCES) $(LOCKS) | $(BUILD_VENV)
	@$(BIN)/python scripts/build_zipapp.py --python all
	@rm -f dist/.built-for-*
	@touch $@ $(BUILT)
