# `make run` and `make test` work on a machine with Python 3.11+ and make; both call `make install` first.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help install run test test-long asyncapi-parser lint lock audit vendor docs bench bench-quick soak seeds mutants fuzz clients artefacts clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1:/p' Makefile | awk -F: '{ printf "  make %-15s %s\n", $$1, $$2 }'

# Variables of other programs must not change what is installed or run. pip keeps those that set the source of packages.
PIP_SOURCES := PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_FIND_LINKS PIP_NO_INDEX PIP_TRUSTED_HOST PIP_CERT PIP_CLIENT_CERT \
  PIP_PROXY PIP_CACHE_DIR PIP_NO_CACHE_DIR PIP_TIMEOUT PIP_DEFAULT_TIMEOUT PIP_RETRIES PIP_CONFIG_FILE PIP_KEYRING_PROVIDER
FOREIGN := $(filter-out PYTHON $(PIP_SOURCES),$(filter PIP_% PYTHON% SETUPTOOLS_% __PYVENV_LAUNCHER__,$(.VARIABLES)))
$(foreach name,$(FOREIGN),$(eval unexport $(name)))
PIP_INSTALL = "$(BIN)/python" -m pip install --disable-pip-version-check --quiet --no-user

# The stamp holds the environment's folder, its Python, and checksums of the files that it was made from. If PYTHON= is
# given, the environment must contain that Python.
IDENTITY = printf '%s\n' "$(CURDIR)" && "$(BIN)/python" -I -S -c 'import sys; print(sys.version, sys.prefix)' && \
  cksum setup.cfg pyproject.toml
SAME_PYTHON = import sys; print(sys.version_info[:3], sys.base_prefix)
ifeq ($(origin PYTHON),file)
IS_WANTED = true
else
IS_WANTED = [ "$$("$(PYTHON)" -I -S -c '$(SAME_PYTHON)')" = "$$("$(BIN)/python" -I -S -c '$(SAME_PYTHON)')" ]
endif

# If the stamp matches, nothing is done. If only setup.cfg has changed, pip updates the environment. If the folder was moved
# or copied, or its Python or the entry point is gone, the environment is made anew, because it holds absolute paths. The
# stamp is written last, after the environment was checked, so a broken install is repeated.
install: ## make .venv with everything in it
	@usable() { [ -x "$(BIN)/weelo" ] && $(IS_WANTED); }; \
	now() { { $(IDENTITY); } 2>/dev/null; }; \
	stamped() { cat "$(VENV)/.installed" 2>/dev/null; }; \
	if usable && [ "$$(now)" = "$$(stamped)" ]; then exit 0; fi; \
	set -e; \
	"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "weelo needs Python 3.11 or newer; set PYTHON=/path/to/python3"; exit 1; }; \
	if ! usable || [ "$$(now | head -n 2)" != "$$(stamped | head -n 2)" ]; then \
	  echo "making $(CURDIR)/$(VENV)"; rm -rf "$(VENV)"; "$(PYTHON)" -m venv "$(VENV)"; \
	fi; \
	rm -f "$(VENV)/.installed"; \
	echo "installing what setup.cfg names into $(VENV)"; \
	$(PIP_INSTALL) --editable ".[dev]"; \
	{ "$(BIN)/python" -I -m pip check --disable-pip-version-check && "$(BIN)/weelo" --version; } >/dev/null \
	  || { echo "$(VENV) is not complete; look for prefix, target or root in: $(BIN)/python -m pip config list"; exit 1; }; \
	now > "$(VENV)/.new"; mv "$(VENV)/.new" "$(VENV)/.installed"

# In the foreground (ps: "+"), `set -m` makes the shell give the terminal to weelo, so that Ctrl-C does not reach make,
# which would end with an error although weelo has stopped in order.
run: install ## the system with the demo played once, until Ctrl-C
	@case "$$(ps -o stat= -p $$$$ 2>/dev/null)" in *+*) set -m;; esac; "$(BIN)/weelo" up --demo; status=$$?; exit $$status

test: install ## the test suite, on real servers
	"$(BIN)/python" -m pytest -n 3

test-long: install ## the test suite with its longest tests, and more rounds of the races
	"$(BIN)/python" -m pytest --long

asyncapi-parser: ## the public parser that a test validates docs/asyncapi.json with (needs Node)
	npm ci --prefix tests/architecture/asyncapi_parser --ignore-scripts --no-audit --no-fund

lint: install ## ruff, mypy and the import rules
	"$(BIN)/ruff" check .
	"$(BIN)/ruff" format --check .
	"$(BIN)/mypy"
	"$(BIN)/lint-imports" --config setup.cfg

lock: install ## pin all packages with hashes in requirements.lock
	$(PIP_INSTALL) --editable ".[audit]"
	CUSTOM_COMPILE_COMMAND="make lock" "$(BIN)/pip-compile" --quiet --generate-hashes --allow-unsafe --strip-extras \
	  --no-annotate --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --extra server --extra otel --output-file requirements.lock setup.cfg

audit: install ## ask PyPI for known weaknesses of the pinned packages
	$(PIP_INSTALL) --editable ".[audit]"
	"$(BIN)/pip-audit" --strict --disable-pip --require-hashes --requirement requirements.lock

vendor: install ## fetch the vendored files of other projects and check their hashes
	"$(BIN)/python" -m tests.architecture.vendor
	"$(BIN)/python" -m tests.architecture.console_vendor

docs: install ## the documentation as a site, in site/
	NO_MKDOCS_2_WARNING=1 "$(BIN)/python" -m mkdocs build --strict

NPM_CI := npm ci --no-audit --no-fund --loglevel=error
clients: install ## the TypeScript client's types, from the API's documents
	"$(BIN)/python" -m clients.documents clients/typescript/build
	cd clients/typescript && $(NPM_CI) && npm run --silent generate build/openapi.json build/asyncapi.json

# The wheel is built from the source archive, so that this archive is known to be complete.
artefacts: install ## the packages of both clients and of the server, and the API's documents, in dist/
	rm -rf dist
	"$(BIN)/python" -m clients.documents dist
	"$(BIN)/python" -m build --outdir dist . >/dev/null
	cp weelo_client/README.md dist/weelo-client-README.md
	@if command -v npm >/dev/null; then set -ex; cd clients/typescript; $(NPM_CI); npm pack --silent --pack-destination ../../dist; \
	else echo "npm is missing: the TypeScript client is left out"; fi
	@ls -l dist

bench: install ## measure costs against a ceiling in the same run
	"$(BIN)/python" -m bench

bench-quick: install ## run every measure in a small form, to show that it works
	"$(BIN)/python" -m bench --quick

soak: install ## test under faults for MINUTES=30 [SEED=1]; report in soak/
	"$(BIN)/python" -m tests.faults --minutes "$(or $(MINUTES),30)" $(if $(SEED),--seed "$(SEED)")

seeds: install ## search for faults in the lab for MINUTES=5 [SEED=1]; scripts that fail in lab-seeds/
	"$(BIN)/weelo" lab seeds --minutes "$(or $(MINUTES),5)" $(if $(SEED),--seed "$(SEED)")

mutants: install ## check that the tests notice a mechanism switched off
	"$(BIN)/python" -m tests.faults.mutants

CASES ?= 20000
fuzz: install ## send CASES=20000 random requests [SEED=1] to a running system
	"$(BIN)/python" -m tests.fuzz --cases "$(CASES)" $(if $(SEED),--seed "$(SEED)")

clean: ## remove the environment and the development data
	rm -rf "$(VENV)" .weelo .pytest_cache .mypy_cache .ruff_cache *.egg-info site dist
