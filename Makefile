# make demo   a small handbook, three questions, demo/answer.html
# make test   ruff, mypy --strict and pytest, in the same environment
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test clean
demo: .venv/installed
	@$(BIN)/limner demo

test: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n auto --dist worksteal

.venv/installed: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

.venv/dev: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

clean:
	rm -rf .venv build demo *.egg-info
