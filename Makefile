# The two commands of the README; each makes the environment first if it is not there.
#   make figures        the probe map of SmolLM2-135M on 1,000 questions, and its control
#   make test           all tests
# Variables: PYTHON (the interpreter), MODEL (a name, folder, GGUF file or hub id), N (questions), FIGURES (folder of
# results).

PYTHON ?= $(shell command -v python3.11 || command -v python3)
MODEL ?= smollm2-135m
N ?= 1000
FIGURES ?= figures
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: figures test lint types contracts clean

figures: $(INSTALLED)
	$(BIN)/interp probe --model $(MODEL) --n $(N) --figures $(FIGURES)
	$(BIN)/interp probe --model $(MODEL) --n $(N) --figures $(FIGURES) --labels shuffled

test: $(INSTALLED)
	$(BIN)/pytest

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED)
	$(BIN)/mypy

contracts: $(INSTALLED)
	$(BIN)/lint-imports

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "interp needs Python 3.11 or newer; run: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) runs
