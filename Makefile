# Every target does its own set-up in .venv; Python 3.11 or newer, make and a package index are all that is needed.

PYTHON ?= python3
BIN := .venv/bin
DOMAIN ?= code
export RAY_DISABLE_USAGE_STATS := 1

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-unit test-long test-chaos test-faults test-families test-attacks test-trackers test-lm-eval test-ui up down pictures bench experiments real-model cluster-demo wheel try-wheel protos monitoring lint format docs lock audit sbom clean

help: ## Print every target with its comment
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.ready ## Make .venv from the pinned lock file

.venv/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed, $$($(PYTHON) --version) came: make PYTHON=python3.11 ..." >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

demo: .venv/.ready ## The whole story in minutes: pre-train, mid-train (DOMAIN=code|math|science), fine-tune, forget, recover
	@$(BIN)/python -m deploy.demo --domain $(DOMAIN)

test: .venv/.ready ## All tests: those of the whole stack, which mostly wait, beside all others
	$(BIN)/python -m pytest --numprocesses 3 --dist loadscope --no-loadscope-reorder

test-unit: .venv/.ready ## The tests that need no server
	$(BIN)/python -m pytest -m "not integration and not e2e and not slow" tests/unit tests/scenarios

test-families: .venv/.ready ## Every model family in and out, through a worker and through the platform, and a table of each
	RETAIN_FAMILIES=1 $(BIN)/python -m pytest tests/unit/model/families tests/integration/families tests/e2e/test_families.py
	$(BIN)/python -m model.cli.families

test-chaos: .venv/.ready ## The long storm: faults injected into a running stack
	RETAIN_CHAOS=1 $(BIN)/python -m pytest -m chaos tests/e2e

test-long: .venv/.ready ## Whole runs that are repeated under one more circumstance: a drained machine, an arm of the experiments
	RETAIN_LONG=1 $(BIN)/python -m pytest tests/e2e/test_drain.py tests/e2e/test_experiment_arm.py tests/integration/worker/test_worker_ray.py

test-faults: .venv/.ready ## Every call over every port with every kind of fault
	RETAIN_FAULTS=1 $(BIN)/python -m pytest --numprocesses 2 --dist worksteal tests/faults

test-ui: .venv/.ready ## The panel in a real browser on the whole stack: what people do, faults, looks (needs Chromium and npm)
	RETAIN_UI=1 $(BIN)/python -m pytest tests/ui

test-attacks: .venv/.ready ## Every attack of the matrix on a running stack, while a second user works on it
	RETAIN_ATTACKS=1 $(BIN)/python -m pytest tests/attacks

.venv-lm-eval/.ready: .venv/.ready pyproject.toml
	@test -x .venv-lm-eval/bin/python || $(PYTHON) -m venv .venv-lm-eval
	@$(BIN)/python -c 'import site; print(site.getsitepackages()[0])' > "$$(.venv-lm-eval/bin/python -c 'import site; print(site.getsitepackages()[0])')/base.pth"
	.venv-lm-eval/bin/python -m pip install --quiet --disable-pip-version-check --constraint requirements.lock '.[train,lm-eval]'
	.venv-lm-eval/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

test-lm-eval: .venv-lm-eval/.ready ## lm-evaluation-harness itself, on local tasks over local data, against our own figures
	RETAIN_LM_EVAL=1 .venv-lm-eval/bin/python -m pytest tests/lm_eval

.venv-trackers/.ready: .venv/.ready pyproject.toml
	@test -x .venv-trackers/bin/python || $(PYTHON) -m venv .venv-trackers
	@$(BIN)/python -c 'import site; print(site.getsitepackages()[0])' > "$$(.venv-trackers/bin/python -c 'import site; print(site.getsitepackages()[0])')/base.pth"
	.venv-trackers/bin/python -m pip install --quiet --disable-pip-version-check '.[mlflow,wandb,tensorboard]' # not pinned: mlflow-skinny needs an older cachetools than the lock has
	.venv-trackers/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

test-trackers: .venv-trackers/.ready ## A run in MLflow, wandb and TensorBoard, read back with each one's own reader
	RETAIN_TRACKERS=1 .venv-trackers/bin/python -m pytest tests/trackers

up: .venv/.ready ## Start the local stack (state in RETAIN_HOME, default .retain)
	@$(BIN)/retain up

down: .venv/.ready ## Stop the local stack
	@$(BIN)/retain down

pictures: .venv/.ready ## Pictures of every page of the panel that runs, both themes, two widths (ARGS="--run ID"): build/pictures
	@$(BIN)/python -m deploy.site.pictures $(ARGS)

bench: .venv/.ready ## Measure speed and memory and print tables
	@$(BIN)/python -m tests.benchmarks

experiments: .venv/.ready ## Measure forgetting on real data and write a table and plots (ARGS="--quick --only a,b")
	@$(BIN)/python -m model.experiments --gate services.orchestrator.experiment_gate:experiment_gate --plots $(ARGS)

real-model: .venv/.ready ## Adapt a real pre-trained model (SmolLM2-135M) on a local stack, in arms; resumes (ARGS="--arm plain --table-only")
	@$(BIN)/python -m deploy.real_model $(ARGS)

cluster-demo: .venv/.ready ## Install the chart on a real one-node Kubernetes and run the demo pipeline through gRPC (ARGS="--disturb")
	@$(BIN)/python -m deploy.cluster_demo $(ARGS)

wheel: ## Build the wheel of the client and the command into dist, and print its size
	@$(PYTHON) -m deploy.wheel build

try-wheel: ## Install the wheel where nothing else is, print the time it took, run the command (ARGS="--extras panel")
	@$(PYTHON) -m deploy.wheel try $(ARGS)

protos: .venv/.ready ## Generate protos/gen from the .proto files
	$(BIN)/python protos/generate.py
	$(BIN)/buf lint protos

monitoring: .venv/.ready ## Generate the Prometheus rules, Grafana rules and dashboards
	$(BIN)/python -m deploy.monitoring.generate
	$(BIN)/python -m deploy.chart_files

lint: .venv/.ready ## Check format, style, types and everything that is generated
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy services model ui deploy protos/generate.py protos/gen/retain/values/*.py protos/gen/retain/mapper/*.py
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m tests.docstrings
	$(BIN)/buf lint protos
	$(BIN)/python protos/generate.py --check
	$(BIN)/python -m deploy.monitoring.generate --check
	$(BIN)/python -m deploy.chart_files --check

format: .venv/.ready ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.venv-docs/.ready: deploy/site/requirements.txt
	@test -x .venv-docs/bin/python || $(PYTHON) -m venv .venv-docs
	.venv-docs/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

docs: .venv-docs/.ready ## Build the guides into a static site that can be searched: build/site
	@.venv-docs/bin/python -m deploy.site

lock: ## Resolve pyproject.toml into requirements.lock
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet '.[dev]'
	.venv-lock/bin/python -m pip freeze --exclude retain | sed 's/+cpu//' > requirements.lock
	rm -rf .venv-lock build

.venv-audit/.ready:
	@test -x .venv-audit/bin/python || $(PYTHON) -m venv .venv-audit
	.venv-audit/bin/python -m pip install --quiet --disable-pip-version-check 'pip-audit>=2.9,<3' 'cyclonedx-bom>=7,<8'
	@touch $@

audit: .venv/.ready .venv-audit/.ready ## Known weaknesses of the locked packages, and their licences (needs the network)
	@$(BIN)/python -m deploy.audit check

sbom: .venv/.ready .venv-audit/.ready ## A bill of materials (CycloneDX) for each image: build/sbom
	@$(BIN)/python -m deploy.audit bill

clean: ## Remove what the targets made (not the state in .retain)
	rm -rf .venv .venv-audit .venv-trackers .venv-lm-eval .venv-docs build dist .pytest_cache .mypy_cache .ruff_cache
