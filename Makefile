# make demo     a trained classifier scans a photograph: everything from nothing
# make example  a classifier of crops learns from whole images, and what that gains
# make test     the whole test suite
# make check    format, lint, types, layers
# make docs     the site of docs/ with the guide, into site/: it runs the guide's code, and fetches nothing
# make bench    time the engines against a plain sliding window, into docs/benchmarks.md
# make streaming  from files larger than memory, against pixels in memory and patches, into docs/benchmarks.md
# make predictions  speed-ups as predicted and as measured, into docs/benchmarks.md
# make zoo      known networks against their crops, into docs/zoo.md and the list in README.md
# make counts   mult-adds of known networks against torch's own counter, into docs/cost.md (an hour)
# make laws     thousands of random networks against their crops, into docs/zoo.md (half an hour and more)
# make kills    500 kills of scans in tiles that are resumed, into docs/reliability.md (ten minutes)
# make memory   peak memory over an image of 4.8 GB, made in HOME_OF_IMAGE, into docs/reliability.md (half an hour)
# make pictures the maps in docs/images over the real files in DATA
# make clean    remove the environment and what was built
#
# Each target builds what it needs in .venv and installs nothing twice. PYTHON chooses the interpreter,
# WORKERS the number of processes that run the tests and the zoo, EXAMPLES and SEED how many laws are tried, and which (SEED: which kills, too);
# ZOO=--all-timm takes all of timm's networks (zoo, counts).

PYTHON ?= python3
WORKERS ?= 2
EXAMPLES ?= 10000
SEED ?= 1
ZOO ?=
DATA ?= ../shared/data
HOME_OF_IMAGE ?= /tmp/everywindow-memory
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
pinned = $(shell grep '^$(1)==' constraints.txt)

.PHONY: demo example test check format docs bench streaming predictions zoo counts laws kills memory pictures clean

.DELETE_ON_ERROR:

demo: $(VENV)/core.stamp
	$(BIN)/everywindow demo --out demo-output

example: $(VENV)/core.stamp
	$(BIN)/python examples/finetune_dense.py --out example-output

test: $(VENV)/test.stamp
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

check: $(VENV)/check.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: $(VENV)/check.stamp
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/test.stamp
	$(BIN)/python -m docs.making site

bench: $(VENV)/test.stamp
	PYTHONPATH=tests $(BIN)/python -m benchmarks.bench --out docs/benchmarks.md
	PYTHONPATH=tests $(BIN)/python -m benchmarks.streaming --out docs/benchmarks.md

streaming: $(VENV)/test.stamp
	PYTHONPATH=tests $(BIN)/python -m benchmarks.streaming --out docs/benchmarks.md

zoo: $(VENV)/test.stamp
	PYTHONPATH=tests $(BIN)/python -m benchmarks.zoo --workers $(WORKERS) --threads 1 --out docs/zoo.md --readme README.md $(ZOO)

counts: $(VENV)/test.stamp
	PYTHONPATH=tests $(BIN)/python -m benchmarks.counts --out docs/cost.md $(ZOO)

predictions: $(VENV)/test.stamp
	PYTHONPATH=tests $(BIN)/python -m benchmarks.predictions --out docs/benchmarks.md

laws: $(VENV)/test.stamp
	PYTHONPATH=tests $(BIN)/python -m benchmarks.laws --examples $(EXAMPLES) --seed $(SEED) --out docs/zoo.md

kills: $(VENV)/test.stamp
	$(BIN)/python -m benchmarks.kills --kills 500 --seed $(SEED) --out docs/reliability.md

memory: $(VENV)/test.stamp
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.memory $(HOME_OF_IMAGE) --out docs/reliability.md

pictures: $(VENV)/test.stamp
	$(BIN)/python docs/images/draw_maps.py $(DATA)

clean:
	rm -rf $(VENV) demo-output example-output site dist

$(VENV)/python.stamp:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "$(PYTHON): not Python 3.11 or newer; name one that is: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/core.stamp: $(VENV)/python.stamp pyproject.toml constraints.txt
	$(PIP) -c constraints.txt -e '.[demo]'
	touch $@

# torchvision and timm name other builds of torch among their dependencies: they come alone, after torch.
$(VENV)/test.stamp: $(VENV)/core.stamp
	$(PIP) -c constraints.txt -e '.[test]'
	$(PIP) --no-deps $(call pinned,torchvision) $(call pinned,timm)
	touch $@

$(VENV)/check.stamp: $(VENV)/core.stamp
	$(PIP) -c constraints.txt -e '.[check]'
	touch $@
