# postmand. `make help` tells what there is to make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check \
	--root-user-action=ignore
PEERS := tests/peers/packages.txt
# Without sockets or processes of their own, and not marked as long: quick.
LONG := $(shell grep -l '^pytestmark = pytest.mark.long' tests/test_*.py)
UNIT := $(filter-out $(LONG),$(wildcard tests/test_*.py)) tests/dialogues

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run demo-internet check lint test peers bench anonymity fuzz screenshots clean

help:
	@echo 'make run        run a mail host on 127.0.0.1 (SMTP 2525, POP3 1110, pages 8025)'
	@echo 'make demo-internet  mail to the Internet and back, each step proven (root)'
	@echo 'make check      the quick checks: ruff, mypy, import-linter, unit tests'
	@echo 'make lint       of these ruff, mypy and import-linter alone'
	@echo 'make test       everything; as root it installs the peers first'
	@echo 'make peers      install the Debian packages of the real mail clients (root)'
	@echo 'make bench      measure, beside real servers where they are installed'
	@echo 'make anonymity  what each delay hides: tables, and docs/anonymity.svg (long)'
	@echo 'make fuzz       at least a million hostile inputs (long)'
	@echo 'make screenshots  a picture of each page, into build/screenshots'
	@echo 'make clean      remove what was made, but not ./var'

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'postmand needs Python 3.11 or later: make PYTHON=/path/to/it'; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo 'The venv module is missing. As root: apt install python3-venv'; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.installed: $(VENV)/.made setup.cfg pyproject.toml
	@echo 'Installing into $(VENV) ...'
	@$(PIP) --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.made setup.cfg pyproject.toml
	@echo 'Installing into $(VENV), with what the tests need ...'
	@$(PIP) --editable '.[dev]'
	@touch $@ $(VENV)/.installed

# A backslash that make leaves at the end of its line.
B := \$(empty)

define TOUR

The mail host starts on 127.0.0.1: SMTP on port 2525, POP3 on port 1110, and its pages,
where people make and look after accounts:

  http://127.0.0.1:8025

Or type, in another terminal and in this directory:

  echo 'first password'  | $(BIN)/postmanctl account add alice --password-stdin
  echo 'second password' | $(BIN)/postmanctl account add bob --password-stdin

  swaks --server 127.0.0.1:2525 --from alice@mail.i2p --to bob@mail.i2p $(B)
        --auth PLAIN --auth-user alice --auth-password 'first password' $(B)
        --header 'Subject: hello' --body 'Nobody knows where I am.'

  curl --silent --user 'bob:second password' pop3://127.0.0.1:1110/1

Ctrl-C stops it. State is kept in ./var.

endef
export TOUR

run: $(VENV)/.installed
	@echo "$$TOUR"
	@exec $(BIN)/twistd -n --pidfile= postman

# Real name servers and a real Postfix, all on this machine.
demo-internet: $(VENV)/.dev
	@$(BIN)/python -m tests.world.demo

# Side by side: mypy without its cache takes as long as the tests.
check: $(VENV)/.dev
	@$(MAKE) --no-print-directory lint & checking=$$!; \
		$(BIN)/python -m pytest -n auto -m 'not long' $(UNIT); tested=$$?; \
		wait $$checking && exit $$tested

lint: $(VENV)/.dev
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check . || \
		{ echo 'Not formatted: $(BIN)/ruff format .'; exit 1; }
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-logo >$(VENV)/.imports 2>&1 || { cat $(VENV)/.imports; exit 1; }

# The tests are run whatever the checks before them say: their line is the last. Three
# at a time on two cores: many wait, for a far end or for a peer. The long ones first.
SIDE_BY_SIDE := -n $(shell expr $$(nproc) + 1) --no-loadscope-reorder
test: $(VENV)/.dev
	@if [ "$$(id -u)" = 0 ]; then $(MAKE) --no-print-directory peers; fi
	@$(MAKE) --no-print-directory lint; checked=$$?; \
		$(BIN)/python -m pytest $(SIDE_BY_SIDE) && exit $$checked

peers:
	@tests/peers/install $(PEERS)

bench: $(VENV)/.dev
	@$(BIN)/python -m benchmarks

anonymity: $(VENV)/.dev
	@$(BIN)/python -m benchmarks.anonymity

fuzz: $(VENV)/.dev
	@set -e; for target in tests/fuzz_*.py; do \
		echo "$$target"; module=$${target%.py}; \
		$(BIN)/python -m "$$(echo "$$module" | tr / .)"; \
	done

screenshots: $(VENV)/.dev
	@$(BIN)/python -m tests.peers.web.screenshots build/screenshots

clean:
	@rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache \
		.hypothesis .import_linter_cache .coverage _trial_temp
	@find postmand twisted tests benchmarks docs -name __pycache__ -type d -prune \
		-exec rm -rf {} +
