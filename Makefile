# make demo   a small handbook, four questions, demo/answer.html
# make test   ruff, mypy --strict and pytest, in the same environment
# make test-long   the tests that take minutes: a compiled model, the pocket recipe's training
PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt
COMPILE := $(BIN)/python -m compileall -qq -j 0 .venv/lib  # as pip does it, but on all cores

.PHONY: demo test test-long clean
demo: .venv/installed
	@$(BIN)/limner demo

test: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy -n auto
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal  # a worker on each core

test-long: .venv/dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m long

.venv/installed: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(INSTALL) -e .
	@$(COMPILE) || true  # some packages carry templates that are no Python
	@touch $@

.venv/dev: .venv/installed
	$(INSTALL) -e '.[dev]'
	@$(COMPILE) || true
	@touch $@

clean:
	rm -rf .venv build demo *.egg-info
