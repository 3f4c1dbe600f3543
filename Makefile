# Every target sets up a fresh machine by itself: a virtual environment in .venv with the pinned versions.
PYTHON ?= python3
BIN := .venv/bin
# A module is compiled when it is first imported, which most never are, and stays so.
unexport PYTHONDONTWRITEBYTECODE
STAMP := .venv/.ready
DOCS := .venv-docs/.ready

.PHONY: demo test test-all lint docs bench bench-gpu clean

demo: $(STAMP)  ## train, attack and report on the embedded digits (a few minutes)
	$(BIN)/holdfast demo

test: $(STAMP)  ## the tests that CI runs
	$(BIN)/python -m pytest -n 2

test-all: $(STAMP)  ## also the slow and data-hungry ones
	$(BIN)/python -m pytest -n 2 -m "slow or not slow"

lint: $(STAMP)  ## style and types
	$(BIN)/ruff check src tests bench docs examples conftest.py
	$(BIN)/ruff format --check src tests bench docs examples conftest.py
	$(BIN)/mypy

docs: $(DOCS)  ## the documentation site, in build/site; a warning is an error
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --strict

bench: $(STAMP)  ## time, FLOPs and peak memory beside the usual ways and peers (some minutes)
	$(BIN)/python -m bench

bench-gpu: $(STAMP)  ## the same and what takes minutes a row, on CUDA
	$(BIN)/python -c 'import torch, sys; sys.exit(not torch.cuda.is_available() and "no CUDA device: use make bench")'
	$(BIN)/python -m bench --full --out results/bench-gpu.json

$(STAMP): constraints.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "holdfast needs Python 3.11 or newer; set PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q --no-compile torch -c constraints.txt
	$(BIN)/pip install -q --no-compile -e ".[dev]" -c constraints.txt
	$(BIN)/pip install -q --no-compile --no-deps torchattacks -c constraints.txt
	touch $@

$(DOCS): constraints.txt pyproject.toml
	$(PYTHON) -m venv .venv-docs
	$(PYTHON) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["docs"], sep="\n")' > .venv-docs/docs.txt
	.venv-docs/bin/pip install -q --no-compile -r .venv-docs/docs.txt -c constraints.txt
	touch $@

clean:
	rm -rf .venv .venv-docs build
