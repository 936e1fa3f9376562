# `make run` and `make test` work on a machine with Python 3.11+ and make; both call `make install` first.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help install run test lint lock audit bench soak mutants clean

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1	/p' Makefile

# The stamp says that the environment matches setup.cfg; it is written last, so a broken install is tried again.
$(VENV)/.installed: setup.cfg pyproject.toml
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "weelo needs Python 3.11 or newer; set PYTHON=/path/to/python3"; exit 1; }
	"$(PYTHON)" -m venv "$(VENV)"
	"$(BIN)/python" -m pip install --disable-pip-version-check --quiet --editable ".[dev]"
	@touch "$(VENV)/.installed"

install: $(VENV)/.installed ## make .venv with everything in it

# With `set -m` the shell of a foreground process (ps: "+") gives the terminal to weelo alone: Ctrl-C then reaches weelo
# and not make, which would end by the signal although weelo has stopped in order.
run: install ## the whole system with the demo played once, then serving until Ctrl-C
	@case "$$(ps -o stat= -p $$$$ 2>/dev/null)" in *+*) set -m;; esac; "$(BIN)/weelo" up --demo; status=$$?; exit $$status

test: install ## the whole test suite, on real servers
	"$(BIN)/python" -m pytest

lint: install ## ruff, mypy and the import rules
	"$(BIN)/ruff" check .
	"$(BIN)/ruff" format --check .
	"$(BIN)/mypy"
	"$(BIN)/lint-imports" --config setup.cfg

lock: install ## pin everything that setup.cfg brings along, with hashes: requirements.lock
	"$(BIN)/python" -m pip install --disable-pip-version-check --quiet --editable ".[audit]"
	CUSTOM_COMPILE_COMMAND="make lock" "$(BIN)/pip-compile" --quiet --generate-hashes --allow-unsafe --strip-extras \
	  --no-annotate --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --output-file requirements.lock setup.cfg

audit: install ## ask PyPI for known weaknesses of what requirements.lock pins; what cannot be asked about fails
	"$(BIN)/python" -m pip install --disable-pip-version-check --quiet --editable ".[audit]"
	"$(BIN)/pip-audit" --strict --disable-pip --require-hashes --requirement requirements.lock

bench: install ## what it costs, against a ceiling in the same run
	"$(BIN)/python" -m bench

MINUTES ?= 30
soak: install ## people play while everything breaks, for MINUTES=30 [SEED=…]; a report in soak/
	"$(BIN)/python" -m tests.faults --minutes "$(MINUTES)" $(if $(SEED),--seed "$(SEED)")

mutants: install ## is the suite worth anything? one mechanism at a time switched off in a copy
	"$(BIN)/python" -m tests.faults.mutants

clean: ## remove the environment and the development data
	rm -rf "$(VENV)" .weelo .pytest_cache .mypy_cache .ruff_cache *.egg-info
