# Everything a newcomer needs. Only Python 3.11+ and make must be there; uv is fetched by the first target that needs it.
SHELL := /bin/bash
PYTHON ?= python3
UV := .tools/bin/uv
RUN := .venv/bin/
SETUP := .venv/.synced

.DEFAULT_GOAL := help
.PHONY: help setup demo test compiled check bench dashboards lock clean

help:  ## Show this help
	@awk 'BEGIN {FS = ":.*##"} /^[a-z-]+:.*##/ {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(UV):
	$(PYTHON) -m venv .tools
	.tools/bin/python -m pip install --quiet --disable-pip-version-check 'uv>=0.8,<1'

$(SETUP): $(UV) requirements.lock pyproject.toml ebbtide/pyproject.toml
	$(UV) venv --quiet --allow-existing --python $(PYTHON) .venv
	$(UV) pip sync --quiet --compile-bytecode --python .venv/bin/python requirements.lock
	$(UV) pip install --quiet --python .venv/bin/python --no-deps -e ./ebbtide -e .
	@touch $@

# Compiled here once: a role compiles all that it imports at each start where PYTHONDONTWRITEBYTECODE is set.
setup: $(SETUP)  ## Install the locked dependencies and the local stack's parts
	$(RUN)python -m compileall -q ebbtide ops schemas sinks streams
	$(RUN)ebbtide install

demo: setup  ## Set up everything and run the main job on real components
	$(RUN)ebbtide demo

test: setup  ## Set up everything and pass all tests
	PYTHONDONTWRITEBYTECODE= $(RUN)pytest -n 5 --dist loadfile --no-loadscope-reorder

# The test files, compiled once with what pytest makes of their assertions: else each of its runners does it.
compiled: $(SETUP)
	-@PYTHONDONTWRITEBYTECODE= $(RUN)pytest --collect-only -qq > /dev/null

check: $(SETUP)  ## Lint, types, layers, dependencies
	$(RUN)ruff format --check .
	$(RUN)ruff check .
	$(RUN)mypy
	$(RUN)pytest tests/unit/test_layers.py
	$(RUN)deptry .

bench: setup  ## Measure against the peers; QUICK=1 stays under five minutes
	$(RUN)python -m ops.bench $(if $(QUICK),--quick,)

dashboards: $(SETUP)  ## Write the Grafana dashboards anew
	$(RUN)python -m ops.dashboards

lock: $(UV)  ## Resolve the ranges of pyproject.toml anew into requirements.lock
	$(UV) pip compile --quiet --universal --generate-hashes --no-emit-package ebbtide --all-extras --group dev \
		--custom-compile-command 'make lock' --python-version 3.11 pyproject.toml -o requirements.lock

clean:  ## Remove what the targets made here
	rm -rf .venv .tools .mypy_cache .ruff_cache .pytest_cache dist
