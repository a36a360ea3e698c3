# `make demo` and `make test` do all set-up: a virtual environment with the pinned versions.
PYTHON ?= python3
BIN := .venv/bin
INSTALL = $(BIN)/pip install --disable-pip-version-check -q -c constraints.txt -e

.PHONY: demo test lint bench clean

demo: .venv/train
	$(BIN)/distilled-envs distill cartpole-nd-2d-min --output "runs/demo-$$(date +%Y%m%d-%H%M%S)"

test: .venv/dev
	SDL_VIDEODRIVER=dummy $(BIN)/python -m pytest -n 2

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

bench: .venv/dev
	$(BIN)/python tests/bench/cartpole_nd.py
	$(BIN)/python tests/bench/halfcheetah.py
	$(BIN)/python tests/bench/atari.py

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/train .venv/dev: pyproject.toml constraints.txt | .venv/bin/python
	$(INSTALL) ".[$(@F)]"
	touch $@

clean:
	rm -rf .venv build dist *.egg-info
