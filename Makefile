# The verbs. README, .ci/run, GitHub Actions and GitLab CI all call these and nothing else.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
DEMO   ?= demo-project
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := 1
export DVC_NO_ANALYTICS := 1
export ORT_DISABLE_TELEMETRY := 1

.PHONY: help setup run record pictures test journeys lint format types imports spelling lock lock-check docs docs-check bench bench-quality clean

help: ## list the verbs
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(VENV)/.stamp ## create the environment from the lock file

$(VENV)/.stamp: requirements.lock requirements-uv.lock packages/modelyard/pyproject.toml packages/modelyard-serve/pyproject.toml
	@$(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "modelyard needs Python 3.11 or newer with its venv module (Debian: apt-get install python3-venv)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing from requirements.lock ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-uv.lock
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock requirements-uv.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --offline \
	  -e packages/modelyard-serve -e packages/modelyard
	@touch $@

run: setup ## build the demonstration project in ./demo-project, with report, summary, card and bundle
	@PATH="$(abspath $(BIN)):$$PATH" $(BIN)/modelyard demo $(DEMO) --replace

record: setup ## film a tour of ./demo-project (up to five minutes; wants chromium, ffmpeg, Xvfb, xterm)
	@cd $(DEMO) && PATH="$(abspath $(BIN)):$$PATH" $(abspath $(BIN))/modelyard record

pictures: setup ## take the README's pictures anew from ./demo-project
	@PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python docs/pictures.py $(DEMO)

# Two sessions: the unit tests want a machine without a git identity, the journeys one with.
test: setup lint ## lint, then every test
	@PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m pytest -q -n 2 --dist loadfile packages/modelyard-serve/tests packages/modelyard/tests
	@PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m pytest -q -n 2 --dist loadfile tests

journeys: setup ## only the tests that run whole commands on real data
	@PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m pytest -q -m journey tests

lint: setup spelling types imports lock-check docs-check ## every static check
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

format: setup ## rewrite the code in the house's form
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

types: setup ## strict type checking
	@$(BIN)/mypy

imports: setup ## the floors of the house
	@$(BIN)/lint-imports --no-cache

spelling: setup ## spelling of code and prose
	@$(BIN)/codespell

lock: setup ## resolve requirements.lock anew
	@$(BIN)/python tests/declared.py | $(BIN)/uv pip compile --quiet --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-annotate --no-header --output-file requirements.lock -

lock-check: setup ## every declared dependency is in the lock
	@$(BIN)/python tests/check_lock.py

docs: setup ## write the generated pages
	@$(BIN)/python docs/generate.py

docs-check: setup ## the generated pages are up to date
	@$(BIN)/python docs/generate.py --check

bench: setup ## the benchmarks behind the README's figures (bench-quality apart: an hour)
	@for script in $(filter-out %/bench_quality.py,$(wildcard benchmarks/bench_*.py)); do echo "== $$script"; $(BIN)/python $$script || exit 1; done

bench-quality: setup ## searches of 60 s against FLAML, Optuna and a grid (an hour)
	@$(BIN)/python benchmarks/bench_quality.py

clean: ## remove what the verbs made
	rm -rf $(VENV) $(DEMO) dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
