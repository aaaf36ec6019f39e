# The two commands of the README; each makes the environment first if it is not there.
#   make figures        the maps of SmolLM2-135M on 1,000 questions: activations, the probe and its controls
#   make test           all tests
#   make test-hooked    the tests of models with TransformerLens 3.9, which has HookedTransformer, in .venv-hooked
# Variables: PYTHON (the interpreter), MODEL (a name, folder, GGUF file or hub id), N (questions), FIGURES (folder of
# results), DTYPE (float32: the same answers on every machine; auto: what this one is fast in), JOBS (processes that
# test side by side, with one thread and about 2 GB each).

PYTHON ?= $(shell command -v python3.11 || command -v python3)
MODEL ?= smollm2-135m
N ?= 1000
FIGURES ?= figures
DTYPE ?= float32
JOBS ?= 2
RUN := --model $(MODEL) --n $(N) --dtype $(DTYPE) --figures $(FIGURES)
PYTEST_ENV := OMP_NUM_THREADS=1
SIDE_BY_SIDE := --numprocesses $(JOBS) --dist loadfile
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
HOOKED := .venv-hooked

.PHONY: figures test test-hooked lint types contracts clean

figures: $(INSTALLED)
	$(BIN)/interp activation $(RUN)
	$(BIN)/interp probe $(RUN)
	$(BIN)/interp probe $(RUN) --group answer
	$(BIN)/interp probe $(RUN) --labels shuffled --no-controls

test: $(INSTALLED)
	$(PYTEST_ENV) $(BIN)/pytest $(SIDE_BY_SIDE)

test-hooked: $(HOOKED)/.installed
	$(PYTEST_ENV) $(HOOKED)/bin/python -m pytest $(SIDE_BY_SIDE) tests/model tests/end_to_end/test_forms.py

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

$(HOOKED)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(HOOKED)
	sed 's/^transformer-lens==.*/transformer-lens==3.9.0/' constraints.txt > $(HOOKED)/constraints.txt
	$(HOOKED)/bin/python -m pip install --constraint $(HOOKED)/constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) $(HOOKED) runs
