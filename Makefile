# The two commands of the README; each makes the environment first if it is not there.
#   make figures        the maps of SmolLM2-135M on 1,000 questions: activations, the probe and its controls, the lens,
#                       patching with both read-outs, these beside each other, and transfer between question sets
#   make gallery        also everything else that the pages of docs/ show, about an hour more on 2 cores
#   make sampled        what 30 drawn answers to each question have in common, and which of them a probe chooses: three
#                       minutes on a GPU, hours on 2 cores
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
# The words of this model's own answers; another model may say others, and has its own margin.
LEAD := "The city is located in the country of"
MAPS := probe lens-answer-rank-first300 patch-led
# What is made once for each choice of variables, and again when the code, the list of figures, or a result has changed.
MADE := runs/.made/$(subst /,_,$(FIGURES)-$(MODEL)-$(N)-$(DTYPE))
CODE := Makefile $(wildcard interp/*.py interp/*/*.py interp/*/*.mplstyle interp/questions/data/* analyses/*.py analyses/*/*.py \
  $(FIGURES)/figures.toml)
ifeq ($(MODEL),smollm2-135m)
RESULTS := $(addprefix $(FIGURES)/$(MODEL)/cities/,$(addsuffix .nc,$(MAPS)))
endif
run_of = --model $(MODEL) --n $(1) --dtype $(DTYPE) --figures $(FIGURES)
RUN := $(call run_of,$(N))
# Of 150 questions five pairs are apart by this margin, and a map needs eight; either takes five minutes of 1,000.
VERDICT := patch $(RUN) --readout verdict --margin .2 --pairs 40
TRANSFER := transfer $(RUN)
PYTEST_ENV := OMP_NUM_THREADS=1
# File by file in their order: the files of few and long tests come first.
SIDE_BY_SIDE := --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder
VENV := .venv
BIN := $(VENV)/bin
define DRAWN_AND_LISTED
$(BIN)/interp figures --figures $(FIGURES)
$(BIN)/interp describe --format markdown --length short --out docs/gallery.md \
  $$(find $(FIGURES) -name '*.nc' ! -name '*-examples.nc' ! -name '*-pairs.nc' | LC_ALL=C sort)
endef
INSTALLED := $(VENV)/.installed
HOOKED := .venv-hooked
# Of these the model's form decides something: they run models with hooks. Ray, kills, and the commands need but one form.
TESTS_OF_FORMS := tests/end_to_end/test_forms.py $(addprefix tests/model/test_,$(addsuffix .py,forms models sites norms \
  output_path capture generation patching patch attribution_patching recordings direct_attribution lens prompt_lens gpu))

.PHONY: figures gallery sampled test test-hooked lint types contracts clean

figures: $(MADE)

$(MADE): $(INSTALLED) $(CODE) $(RESULTS)
	$(BIN)/interp activation $(RUN)
	$(BIN)/interp probe $(RUN)
	$(BIN)/interp probe $(RUN) --group answer
	$(BIN)/interp probe $(RUN) --labels shuffled --no-controls
ifeq ($(MODEL),smollm2-135m)
	$(BIN)/interp lens $(RUN) --quantities answer-rank --of all --first 300
	$(BIN)/interp patch $(RUN) --lead $(LEAD)
	$(BIN)/interp compare $(MAPS:%=$(FIGURES)/$(MODEL)/cities/%.nc)
# Where these are there already, as in a clone, 'make gallery' makes them anew.
	test -f $(FIGURES)/$(MODEL)/cities/patch-verdict.nc || $(BIN)/interp $(VERDICT)
	test -f $(FIGURES)/$(MODEL)/transfer/transfer.nc || $(BIN)/interp $(TRANSFER)
endif
# Figures of several results, such as those of the paper and of the baselines, are of the state that these have now.
	$(BIN)/interp figures --figures $(FIGURES)
	mkdir -p $(@D)
	touch $@

# Each command goes on where it was, and keeps what still holds.
gallery: figures
	$(BIN)/interp baselines $(RUN)
	$(BIN)/interp ccs $(RUN)
	$(BIN)/interp $(TRANSFER)
	$(BIN)/interp probe $(call run_of,433) --dataset us-cities
	$(BIN)/interp probe $(call run_of,159) --dataset capitals
	$(BIN)/interp probe $(call run_of,168) --dataset currencies
	$(BIN)/interp probe $(call run_of,179) --dataset continents
	$(BIN)/interp patch $(RUN)
	$(BIN)/interp $(VERDICT)
	$(BIN)/interp lens $(RUN) --quantities answer-rank,gold-rank,kl
	$(BIN)/interp lens $(RUN) --prompt "The Eiffel Tower is in the city of"
	$(BIN)/interp tune $(RUN) --steps 12 --tokens 256 --measure-every 12 --precision float32
# Through the lens that this machine has trained just now, whose bytes are its own.
	$(BIN)/interp lens $(RUN) --quantities answer-rank --of all --first 300 --overwrite \
	  --lens tuned:$$(ls -t runs/$(MODEL)/cities/tuned-*/lens.safetensors | head -1)
	$(BIN)/interp attribution $(RUN)
	$(DRAWN_AND_LISTED)

# All prompts of a sample are one batch, as a GPU wants them.
sampled: figures
	$(BIN)/interp error-types $(RUN) --samples 30 --batch-size 1000
	$(BIN)/interp select $(RUN) --samples 30 --batch-size 1000
	$(DRAWN_AND_LISTED)

# One that is not there counts as changed.
$(RESULTS): ;

test: $(INSTALLED)
	$(PYTEST_ENV) $(BIN)/pytest $(SIDE_BY_SIDE)

test-hooked: $(HOOKED)/.installed
	$(PYTEST_ENV) $(HOOKED)/bin/python -m pytest $(SIDE_BY_SIDE) $(TESTS_OF_FORMS)

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
