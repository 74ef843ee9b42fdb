# ad40. Two commands: `make run` does everything once and writes build/run/report.html; `make test` passes all tests.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
AD40   := $(BIN)/python -m ad40
RUN    := build/run
CARD   := models/ad40_v1/model.yaml
SAMPLE := training/sample

.DELETE_ON_ERROR:
.PHONY: help setup run test test-long lint lock dist clean

help:
	@echo "make run        set up, then events to report; open $(RUN)/report.html"
	@echo "make test       set up, then all tests"
	@echo "make test-long  the suites that take longer"
	@echo "make lint       ruff and mypy"
	@echo "make dist       wheel of the emulator and source distribution, into dist/"
	@echo "make clean      remove build/ (the environment in $(VENV)/ stays)"

# The environment: locked versions with hashes, binary wheels only
setup: $(VENV)/.ready

$(VENV)/.ready: requirements.lock pyproject.toml
	@command -v g++ >/dev/null && command -v perl >/dev/null || { echo "g++ and perl are needed: install them with your system's package manager" >&2; exit 2; }
	$(PYTHON) -c "import sys; sys.exit('Python 3.11 or newer is needed; try make PYTHON=python3.11' if sys.version_info < (3, 11) else 0)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --only-binary :all: --no-binary parse,pyparser --require-hashes -r requirements.lock
	@$(BIN)/python -c "import find_libpython, sys; sys.exit(0 if find_libpython.find_libpython() else 'cocotb needs the shared library of Python: install libpython3-dev, or a Python built with --enable-shared')"
	$(BIN)/python -m pip install --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

run: setup
	$(AD40) train $(CARD) --output $(RUN)/model --sample $(SAMPLE) --json $(RUN)/train.json
	$(AD40) evaluate $(RUN)/model --sample $(SAMPLE) --plots $(RUN)/plots --json $(RUN)/evaluate.json
	$(AD40) compile $(RUN)/model --output $(RUN)/firmware --synth --json $(RUN)/compile.json
	$(AD40) verify $(RUN)/model --firmware $(RUN)/firmware --events 100000 --rtl-events 20000 --sample $(SAMPLE)/background.h5 --json $(RUN)/verify.json
	$(AD40) trigger $(SAMPLE)/background.h5 --model $(RUN)/model --output $(RUN)/kept.h5 --json $(RUN)/trigger.json
	$(AD40) trigger $(SAMPLE)/resonance.h5 --model $(RUN)/model --output $(RUN)/kept_resonance.h5
	$(AD40) search $(RUN)/kept.h5 --output $(RUN)/search
	$(AD40) search $(RUN)/kept.h5 --inject $(RUN)/kept_resonance.h5:400 --output $(RUN)/search_injected
	$(AD40) bench --quick --model $(RUN)/model --firmware $(RUN)/firmware --json $(RUN)/bench.json
	$(AD40) report $(RUN)

test: setup
	$(BIN)/python -m ruff check .
	$(BIN)/python -m mypy
	$(BIN)/python -m pytest -m "not long"

test-long: setup
	$(BIN)/python -m pytest -m long

lint: setup
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy

# Newest versions that work together; the lock holds versions and hashes, no addresses
lock:
	$(PYTHON) -m uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-header --no-annotate --output-file requirements.lock

# The wheel is built from the source distribution, so that neither can hold what the other lacks
dist: setup
	rm -rf dist
	$(BIN)/python -c "from setuptools import build_meta; build_meta.build_sdist('dist')"
	$(BIN)/python -m pip wheel --disable-pip-version-check --no-deps --no-build-isolation -w dist dist/ad40-*.tar.gz

clean:
	rm -rf build dist
