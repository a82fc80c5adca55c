# Two commands for a newcomer: `make run` and `make test`. Both set up what they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
QEMU ?= qemu-system-x86_64
STAMP := $(VENV)/.installed

.PHONY: run test quick lint matrix clean help

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

$(STAMP): pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) not found; set PYTHON=..." >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "make: Python 3.11 or newer is needed; set PYTHON=..." >&2; exit 2; }
	@echo "setting up $(VENV) (once; takes about a minute)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1' 2>$(VENV)/pip.log \
	  || { cat $(VENV)/pip.log >&2; exit 2; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[model,conformance]' --group dev \
	  2>>$(VENV)/pip.log || { cat $(VENV)/pip.log >&2; exit 2; }
	@command -v cc >/dev/null || $(BIN)/python -m pip install --quiet --disable-pip-version-check ziglang \
	  2>>$(VENV)/pip.log || { cat $(VENV)/pip.log >&2; exit 2; } # `cleancut explore` needs a C compiler
	@touch $@

run: $(STAMP) ## judge the embedded reference, and QEMU where it is installed
	@$(BIN)/cleancut conform
	@if command -v $(QEMU) >/dev/null; then $(BIN)/cleancut conform --target qemu:$(QEMU); \
	else echo "no $(QEMU) here: only the reference was judged (Debian: apt-get install qemu-system-x86)"; fi

test: $(STAMP) lint ## everything that is checked
	@$(BIN)/pytest -q -n 2 --dist worksteal

quick: $(STAMP) ## the checks that take seconds
	@$(BIN)/pytest -q -n 2 --dist worksteal -m 'not slow and not qemu'

lint: $(STAMP)
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports >$(VENV)/imports.log 2>&1 || { cat $(VENV)/imports.log; exit 1; }

matrix: $(STAMP) ## write docs/traceability.md and docs/commands.md anew
	@$(BIN)/python -m tests.traceability
	@$(BIN)/python -m tests.commands_page

clean: ## remove what `make` made
	rm -rf $(VENV) cleancut-traces .mypy_cache .ruff_cache .pytest_cache .hypothesis
