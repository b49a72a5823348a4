# Everything runs in .venv, which each target makes when it is missing or older than what it is made from.
PYTHON ?= python3
BIN := .venv/bin
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check
# Three processes for two cores, as many tests wait; in the order of the folders, so that short files come last.
PARALLEL := -n 3 --dist loadfile --no-loadscope-reorder
.DEFAULT_GOAL := help

help: ## show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/ready ## make .venv with all that the tests need

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python $(PIP_INSTALL) --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: setup ## one bounce on the embedded cluster, seen live
	@$(BIN)/mecbounce demo

unit: setup ## the unit tests: seconds, no socket
	$(BIN)/pytest -n 2 --dist loadfile tests/unit

test: setup ## the unit and integration tests, on the embedded cluster, with coverage
	$(BIN)/pytest $(PARALLEL) --cov --cov-report=term

proof: setup $(BIN)/mutmut ## the same at full length, without coverage, and a sample of make mutants: minutes
	$(BIN)/pytest $(PARALLEL) -m 'not e2e and not short'
	$(BIN)/python tools/mutation.py --sample

lint: setup ## ruff, mypy, and whether the diagrams are current
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mecbounce diagram --check

diagram: setup ## write diagrams/, docs/schema/, the README's copy and the tables of docs/operations.md from the code
	$(BIN)/python tools/generate.py

screenshots: setup ## record the stills in docs/ and the transcripts of all demos anew
	$(BIN)/python tests/recordings.py

check: lint test ## lint, tests, diagrams current: what CI runs first

compat: setup ## the adapter's tests with the oldest supported Kubernetes client, in a .venv of its own
	$(PYTHON) -m venv .venv/oldest
	sed 's/^kubernetes==.*/kubernetes==36.0.3/' constraints.txt > .venv/oldest/constraints.txt
	.venv/oldest/bin/python $(PIP_INSTALL) --constraint .venv/oldest/constraints.txt --editable '.[dev]'
	.venv/oldest/bin/pytest $(PARALLEL) --quiet tests/integration/test_cluster.py tests/integration/test_kubeconfig.py \
		tests/integration/test_transport.py tests/integration/test_protection.py tests/integration/test_cli.py

$(BIN)/mutmut: .venv/ready
	$(BIN)/python $(PIP_INSTALL) --constraint constraints.txt --editable '.[mutation]'
	@touch $@

mutants: $(BIN)/mutmut ## change the core in thousands of small ways, and list those that no unit test notices
	$(BIN)/python tools/mutation.py

e2e: setup ## the end-to-end and conformance suites on the real cluster of $KUBECONFIG
	$(BIN)/pytest -m alone
	$(BIN)/pytest -n 4 --dist loadfile -m '(e2e or conformance) and not alone'

.PHONY: help setup demo unit test proof lint diagram screenshots check compat mutants e2e
