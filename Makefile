PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
export HF_HUB_OFFLINE ?= 1
# The tests start hundreds of processes: without bytecode, each would compile every module again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: install demo check test soak quick docs bench clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	mkdir -p .ns && ln -sfn .. .ns/phi3v_data
	touch $@

demo: $(STAMP)       ## the whole way on generated clips: convert, validate, train, evaluate
	$(BIN)/phi3v-data demo --out demo

check: $(STAMP)      ## lint, format, types, layers
	$(BIN)/python .ci/words.py
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy tests benchmarks
	$(BIN)/lint-imports

test: $(STAMP)       ## every test but those of `make soak`
	$(BIN)/pytest -n auto --dist worksteal -m 'not soak'

soak: $(STAMP)       ## thousands of clips and lines, kills, lost machines, each backend by two processes, the demo from end to end
	$(BIN)/pytest -n auto --dist worksteal -m soak

quick: $(STAMP)      ## the tests that take seconds
	$(BIN)/pytest -n auto --dist worksteal -m 'not slow and not soak'

docs: $(STAMP)       ## the site, in site/; links are checked
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

bench: $(STAMP)      ## every benchmark; each prints a table
	for b in benchmarks/*.py; do $(BIN)/python $$b || exit 1; done

clean:
	rm -rf $(VENV) .ns build dist demo site *.egg-info
