# Seesay's chores. Each target sets up .venv by itself; `make` alone lists them.
#
# pip obeys its own environment variables (PIP_INDEX_URL, PIP_EXTRA_INDEX_URL, PIP_FIND_LINKS) and
# configuration: point them at an index of CPU or CUDA builds of torch where you want another than
# the default one. PYTHON=… chooses the interpreter, ARGS=… goes to the command.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
# Tests run in as many processes as there are cores, each file in one.
ACROSS := --numprocesses auto --maxprocesses 8 --dist loadfile
STAMP := .venv/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test test-slow check bench docs clean

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP) ## Set up .venv with Seesay and what tests need

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Seesay needs Python 3.11 or newer; name one: make PYTHON=/path/to/python" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'torch==2.13.0'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: $(STAMP) ## Train a model from nothing, measure it, show it (minutes)
	$(BIN)/seesay demo $(ARGS)

test: $(STAMP) ## Run the quick tests
	$(BIN)/python -m pytest $(ACROSS) $(ARGS)

test-slow: $(STAMP) ## Run the tests that take minutes
	$(BIN)/python -m pytest -m slow $(ARGS)

check: $(STAMP) ## Lint, type-check, and hold imports to the layers
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports

bench: $(STAMP) ## Time a training step beside a plain one
	$(BIN)/python bench/train_step.py $(ARGS)

docs: $(STAMP) ## Write docs/commands.md anew from every --help
	$(BIN)/python docs/commands.py

clean: ## Remove .venv and caches; runs/ stays
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis .import_linter_cache dist
	find src tests docs bench -name __pycache__ -type d -prune -exec rm -rf {} +
