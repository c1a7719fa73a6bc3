# Needs Python 3.11 or newer with its venv module; everything else is installed into $(VENV).

PYTHON ?= python3
VENV ?= .venv
DIST ?= dist
ARGS ?=
# How many tests run at once: many wait, for a server, for a folder to settle, for a process to start.
WORKERS ?= 4

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input install --quiet
INSTALLED := $(VENV)/.installed
DEVELOPING := $(VENV)/.installed-dev
BENCHING := $(VENV)/.installed-bench

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install demo test browser machine check format-check lint types arrows spec format bench profile build clean security audit fuzz

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)$$/\1|\2/p' $(MAKEFILE_LIST) | \
	  while IFS='|' read -r target text; do printf '  %-14s %s\n' "$$target" "$$text"; done

install: $(DEVELOPING) ## install everything that developing needs into $(VENV)

demo: $(INSTALLED) ## see sealrun seal, publish and resolve a run, in a temporary folder
	@$(BIN)/sealrun demo $(ARGS)

test: $(DEVELOPING) ## run every test; choose with ARGS="-k pointer"
	@scratch=$$(mktemp -d -p "$$(tests/scratch)" sealrun-tests-XXXXXX) && \
	  trap 'rm -rf "$$scratch"' EXIT && trap 'exit 130' INT && trap 'exit 143' TERM && \
	  TMPDIR=$$scratch $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal --timeout 300 $(ARGS)

browser: $(DEVELOPING) ## open every page in Chromium, which has to be installed
	@$(BIN)/python -m pytest tests/browser -m browser --timeout 300 $(ARGS)

machine: $(DEVELOPING) ## boot a machine with systemd and run the service on it: as root, with debootstrap and systemd-nspawn
	@$(BIN)/python -m pytest tests/machine -m machine --timeout 1500 $(ARGS)

check: format-check lint security types arrows test ## everything that must hold: format, lint, bandit, types, imports, tests

format-check: $(DEVELOPING) ## is the code formatted?
	@$(BIN)/ruff format --check --quiet .

lint: $(DEVELOPING) ## ruff
	@$(BIN)/ruff check --quiet .

security: $(DEVELOPING) ## bandit on the code, zizmor on the workflow
	@$(BIN)/bandit --quiet --recursive --configfile pyproject.toml src
	@$(BIN)/zizmor --offline --quiet --config deploy/zizmor.yml deploy/github-workflow.yml >/dev/null

audit: $(DEVELOPING) ## known vulnerabilities of what is installed; asks PyPI, so it needs the network
	@$(PIP) pip-audit
	@$(BIN)/python -m pip --disable-pip-version-check freeze --exclude-editable | \
	  $(BIN)/pip-audit --strict --disable-pip --no-deps --requirement /dev/stdin $(ARGS)

fuzz: $(DEVELOPING) ## let coverage guide fuzzing; ARGS="MANIFEST.sha256 -max_total_time=600", or a list of the parsers
	@$(PIP) atheris
	@$(BIN)/python -W ignore -m tests.fuzz.with_atheris $(ARGS)

types: $(DEVELOPING) ## mypy, strict
	@$(BIN)/mypy --no-error-summary

arrows: $(DEVELOPING) ## do imports run downward only?
	@$(BIN)/lint-imports --no-logo

spec: ## check the collection protocol with spin, which has to be installed; ARGS="--full" for more
	@spec/check $(ARGS)

format: $(DEVELOPING) ## format the code and mend what ruff can mend safely
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format --quiet .

bench: $(BENCHING) ## every benchmark's medians (hours); ARGS="--quick", "--only w1:dir,w3:s3 --parties sealrun,floor-pack"
	@$(BIN)/python -m benchmarks $(ARGS)

profile: $(BENCHING) ## where the time of a publication goes; ARGS="w1 dir" (or s3, --action restore)
	@$(BIN)/python -m benchmarks.profile $(ARGS)

build: $(DEVELOPING) ## build the wheel and the sdist
	@$(BIN)/python -m build -qq --outdir '$(DIST)' .

clean: ## remove the environment, the caches and what was built
	@rm -rf '$(VENV)' '$(DIST)' .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	@find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is not Python 3.11 or newer: name one with PYTHON=…" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "$(PYTHON) lacks the venv module: install it (on Debian: python3-venv)" >&2; exit 1; }
	@$(PYTHON) -m venv '$(VENV)'

$(INSTALLED): $(VENV)/pyvenv.cfg pyproject.toml
	@$(PIP) --editable .
	@touch $@

$(DEVELOPING): $(VENV)/pyvenv.cfg pyproject.toml
	@$(PIP) --editable '.[dev]'
	@touch $(INSTALLED) $@

$(BENCHING): $(DEVELOPING) benchmarks/requirements.txt
	@$(PIP) --requirement benchmarks/requirements.txt
	@touch $@
