# The verbs. README, .ci/run, GitHub Actions and GitLab CI all call these and nothing else.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
DEMO   ?= demo-project
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' packages/modelyard/pyproject.toml)
# Where Python is told not to write its bytecode, each command would compile all that it imports anew.
COMPILED = $(if $(PYTHONDONTWRITEBYTECODE),--compile-bytecode)
CI_NPM ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/modelyard-ci/npm
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := 1
export DVC_NO_ANALYTICS := 1
export ORT_DISABLE_TELEMETRY := 1

.PHONY: help setup ci-tools workflows report-ci dist docs-dist demo-image demo-image-push run record pictures test test-serve journeys e2e-kubernetes lint format types imports spelling lock lock-check docs docs-check bench bench-quality clean

help: ## list the verbs
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(VENV)/.stamp ## create the environment from the lock file

$(VENV)/.stamp: requirements.lock requirements-uv.lock packages/modelyard/pyproject.toml packages/modelyard-serve/pyproject.toml
	@$(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "modelyard needs Python 3.11 or newer with its venv module (Debian: apt-get install python3-venv)"; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@echo "installing from requirements.lock ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-uv.lock
	@$(BIN)/uv pip sync --quiet $(COMPILED) --python $(BIN)/python --require-hashes requirements.lock requirements-uv.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --offline \
	  -e packages/modelyard-serve -e packages/modelyard
	@$(if $(COMPILED),$(BIN)/python -m compileall -q packages/*/src)
	@touch $@

run: setup ## build the demonstration project in ./demo-project, with report, summary, card and bundle
	@PATH="$(abspath $(BIN)):$$PATH" $(BIN)/modelyard demo $(DEMO) --replace

record: setup ## film a tour of ./demo-project (up to five minutes; wants chromium, ffmpeg, Xvfb, xterm)
	@cd $(DEMO) && PATH="$(abspath $(BIN)):$$PATH" $(abspath $(BIN))/modelyard record

pictures: setup ## take the README's pictures anew from ./demo-project
	@PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python docs/pictures.py $(DEMO)

# Three sessions: the unit tests want a machine without a git identity, the journeys one with; the
# serve half is tested where nothing of the build half is installed.
test: setup lint ## lint, then every test
	@PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m pytest -q -n 2 --dist loadfile packages/modelyard-serve/tests/test_scorer.py packages/modelyard/tests
	@$(MAKE) --no-print-directory test-serve
	@PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder --durations=40 tests

test-serve: setup ## the serve half's tests, in an environment of its own without the build half
	@$(BIN)/python tests/serve_alone.py $(VENV)-serve
	@PATH="$(abspath $(VENV)-serve/bin):$$PATH" $(VENV)-serve/bin/python -m pytest -q -n 2 --dist loadfile packages/modelyard-serve/tests

journeys: setup ## only the tests that run whole commands on real data
	@PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m pytest -q -m journey tests

e2e-kubernetes: setup ## a release's whole life on the cluster that KUBECONFIG leads to
	@PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m pytest -q -s -rs -x tests/e2e_kubernetes

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

ci-tools: $(CI_NPM)/.stamp ## the runners and linters of pipelines that come from npm, into a cache

$(CI_NPM)/.stamp: .ci/npm/package.json .ci/npm/package-lock.json
	@mkdir -p $(CI_NPM) && cp $^ $(CI_NPM)/
	@npm ci --silent --no-audit --no-fund --prefix $(CI_NPM)
	@touch $@

workflows: setup ## lint the workflows of this repository and those that are generated
	@PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m pytest -q tests/test_workflows.py -m "not journey"

report-ci: setup ## run the demonstration's pipeline here and write docs/reports/m1-cicd.md
	@PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python docs/reports/m1_cicd.py $(DEMO)

dist: setup ## build the wheels
	@$(BIN)/uv build --quiet --wheel --no-build-isolation --offline --python $(BIN)/python --out-dir dist packages/modelyard-serve
	@$(BIN)/uv build --quiet --wheel --no-build-isolation --offline --python $(BIN)/python --out-dir dist packages/modelyard
	@ls dist

docs-dist: docs-check ## pack the documentation of this version
	@mkdir -p dist-docs
	@tar --sort=name --mtime='1980-01-01 UTC' --owner=0 --group=0 --numeric-owner --exclude='*.py' --exclude=__pycache__ \
	  -cf - README.md CONTRIBUTING.md LICENSE docs | gzip -n > dist-docs/modelyard-docs-$(VERSION).tar.gz
	@ls -l dist-docs

demo-image: setup ## the demonstration's image, verified, in dist-image/ (builds ./demo-project if need be; wants Docker)
	@test -f $(DEMO)/records/image.json || $(MAKE) --no-print-directory run
	@PATH="$(abspath $(BIN)):$$PATH" .ci/demo_image save $(DEMO) dist-image

demo-image-push: ## push dist-image/ as REPOSITORY:vVERSION; login by REGISTRY_USER and REGISTRY_TOKEN
	@.ci/demo_image push dist-image "$(REPOSITORY)" v$(VERSION)

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
	rm -rf $(VENV) $(VENV)-serve $(DEMO) dist dist-docs dist-image .pytest_cache .mypy_cache .ruff_cache .hypothesis
