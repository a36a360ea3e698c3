# `make demo` and `make test` do all set-up: a virtual environment with the pinned versions.
PYTHON ?= python3
BIN := .venv/bin
PIP_INSTALL = $(BIN)/pip install --disable-pip-version-check -q
PYTEST = SDL_VIDEODRIVER=dummy $(BIN)/python -m pytest -n 2

.PHONY: demo test test-all lint types docs bench clean

demo: .venv/train,render
	run="runs/demo-$$(date +%Y%m%d-%H%M%S)" && \
	$(BIN)/distilled-envs distill cartpole-nd-2d-min --output "$$run" && \
	$(BIN)/distilled-envs watch "$$run/dataset" --compare --video "$$run/before-and-after.mp4"

test: .venv/dev
	$(PYTEST) -m "not slow"

test-all: .venv/dev
	$(PYTEST)

lint: build/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	cd build/installed && ../../$(BIN)/lint-imports --no-cache ../../pyproject.toml

types: build/installed
	cd build/installed && ../../$(BIN)/mypy --config-file ../../pyproject.toml --cache-dir ../mypy -p distilled_envs

docs: .venv/dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet --config-file examples/mkdocs.yml
	@echo "build/site/index.html"

bench: .venv/dev
	$(BIN)/python tests/bench/command_line.py
	$(BIN)/python tests/bench/cartpole_nd.py
	$(BIN)/python tests/bench/seconds_to_495.py
	$(BIN)/python tests/bench/halfcheetah.py
	$(BIN)/python tests/bench/ranks.py
	$(BIN)/python tests/bench/growth.py
	$(BIN)/python tests/bench/fit.py
	$(BIN)/python tests/bench/atari.py

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/train,render .venv/dev: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP_INSTALL) -c constraints.txt -e ".[$(@F)]"
	touch $@

# The package as its users get it: training and hub are inside.
build/installed: .venv/dev $(shell find distilled_envs training hub -type f -not -name '*.pyc')
	rm -rf build/installed build/lib
	$(PIP_INSTALL) --no-deps --target build/installed .
	touch $@

clean:
	rm -rf .venv build dist *.egg-info
