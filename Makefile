# Everything runs in .venv; nothing needs to be installed by hand but Python 3.11 or newer.
PYTHON ?= python3
BIN := .venv/bin
# Modules are compiled when they are first imported: most of what is installed never is. They must
# be kept then, whatever the environment says: to compile torch takes longer than most tests, and
# every process that a test starts would do it.
unexport PYTHONDONTWRITEBYTECODE
PIP := $(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check -c constraints.txt

.PHONY: demo test test-slow fuzz check bench format clean

demo: .venv/demo.stamp
	$(BIN)/timbral demo --output demo-run

test: .venv/dev.stamp
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

test-slow: .venv/dev.stamp
	$(BIN)/pytest -m slow

fuzz: .venv/dev.stamp
	$(BIN)/python tests/fuzz/fuzz.py --cases 1000 --seed $${SEED:-0}

check: .venv/dev.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	@$(BIN)/mypy & types=$$!; $(MAKE) test; tests=$$?; wait $$types && exit $$tests

bench: .venv/dev.stamp
	for script in benchmarks/[a-z]*.py; do echo "$$script"; $(BIN)/python "$$script" || echo "$$script: not run; see its --help"; done

format: .venv/dev.stamp
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf .venv demo-run

.venv/venv.stamp: constraints.txt
	$(PYTHON) -m venv .venv
	@echo "installing torch …"
	$(PIP) torch
	touch $@

.venv/demo.stamp: .venv/venv.stamp pyproject.toml
	@echo "installing timbral and what it needs …"
	$(PIP) -e '.[map]'
	touch $@

.venv/dev.stamp: .venv/venv.stamp pyproject.toml
	@echo "installing timbral and what its tests need …"
	$(PIP) -e '.[dev]'
	touch $@
