# make demo   a small handbook, four questions, demo/answer.html
# make test   ruff, mypy --strict and pytest, in the same environment
# make test-long   the tests that take minutes: a compiled model, the pocket recipe's training
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-long clean
demo: .venv/installed
	@$(BIN)/limner demo

test: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal  # a worker on each core

test-long: .venv/dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m long

.venv/installed: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

.venv/dev: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

clean:
	rm -rf .venv build demo *.egg-info
