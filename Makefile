# Every target sets up a fresh machine by itself: a virtual environment in .venv with the pinned versions.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.ready

.PHONY: demo test test-all lint bench clean

demo: $(STAMP)  ## train, attack and report on the embedded digits (a few minutes)
	$(BIN)/holdfast demo

test: $(STAMP)  ## the tests that CI runs
	$(BIN)/python -m pytest -n 2

test-all: $(STAMP)  ## also the slow and data-hungry ones
	$(BIN)/python -m pytest -n 2 -m "slow or not slow"

lint: $(STAMP)  ## style and types
	$(BIN)/ruff check src tests bench conftest.py
	$(BIN)/ruff format --check src tests bench conftest.py conftest.py
	$(BIN)/mypy

bench: $(STAMP)  ## time, FLOPs and peak memory of the IGR step
	$(BIN)/python -m bench

$(STAMP): constraints.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "holdfast needs Python 3.11 or newer; set PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q torch -c constraints.txt
	$(BIN)/pip install -q -e ".[dev]" -c constraints.txt
	$(BIN)/pip install -q --no-deps torchattacks -c constraints.txt
	touch $@

clean:
	rm -rf .venv
