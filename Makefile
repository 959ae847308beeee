# Everything happens in .venv, which is made on first use from the pins with their hashes; nothing is installed again until they change.
VENV = .venv
BIN = $(VENV)/bin
# Choose another with: make run PYTHON=/path/to/python3
PYTHON =
# Options of `buildr-calls run` and of the benchmark of delivery, like: make run ARGS="--port 9000"
ARGS =
PIP = $(BIN)/python -m pip --disable-pip-version-check --no-input install --quiet
COMPILE = $(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras --no-emit-index-url --no-emit-find-links \
	--no-emit-trusted-host --no-emit-options --no-header --no-annotate
CODE = service workers tests

.PHONY: help run test bench bench-sources bench-delivery lint types check docs lock clean

help:
	@echo 'make run     the whole service on this machine, with a sandbox in place of Buildr; ARGS="--port 9000" for options'
	@echo 'make test    lint, types and all tests'
	@echo 'make bench   how fast it is here, side by side with plain arq'
	@echo 'make bench-sources  what proving and reading a message costs, for each telephony system'
	@echo 'make bench-delivery  how well calls get to Buildr, beside the theoretical time and plain arq (about 45 minutes);'
	@echo '             ARGS="--only latency" for a part, ARGS=--help for all options'
	@echo 'make lint    ruff: rules and format'
	@echo 'make types   mypy'
	@echo 'make check   the same as make test'
	@echo 'make docs    write the parts of the docs that follow from the registry of telephony systems'
	@echo 'make lock    pin the newest versions in requirements.txt and requirements-dev.txt'
	@echo 'make clean   remove .venv and caches; .data with the calls of make run stays'

run: $(VENV)/.run
	@exec $(BIN)/python -m workers.cli.main run $(ARGS)

# The three at once, because each needs one core at most; what lint and types have to say comes after the tests.
test: $(VENV)/.dev
	@log=$$(mktemp -d) || exit 1; \
	trap 'kill $$lint $$types 2>/dev/null; rm -rf "$$log"' EXIT; trap 'exit 130' INT; trap 'exit 143' TERM; \
	{ $(BIN)/ruff check $(CODE) && $(BIN)/ruff format --check $(CODE); } >"$$log/lint" 2>&1 & lint=$$!; \
	$(BIN)/mypy >"$$log/types" 2>&1 & types=$$!; \
	status=0; \
	$(BIN)/python -m pytest -q -n 4 --dist worksteal $(ARGS) || status=1; \
	wait $$lint || status=1; \
	wait $$types || status=1; \
	echo "-- lint"; cat "$$log/lint"; \
	echo "-- types"; cat "$$log/types"; \
	exit $$status

bench: $(VENV)/.dev
	@$(BIN)/python -m tests.benchmarks.intake

bench-sources: $(VENV)/.dev
	@$(BIN)/python -m tests.benchmarks.sources

bench-delivery: $(VENV)/.dev
	@$(BIN)/python -m tests.benchmarks.delivery $(ARGS)

lint: $(VENV)/.dev
	@$(BIN)/ruff check $(CODE)
	@$(BIN)/ruff format --check $(CODE)

types: $(VENV)/.dev
	@$(BIN)/mypy

check: test

docs: $(VENV)/.dev
	@$(BIN)/python -m tests.repository.docs_tables

lock: $(VENV)/.dev
	$(COMPILE) --upgrade --output-file requirements.txt requirements.in
	$(COMPILE) --upgrade --output-file requirements-dev.txt requirements-dev.in

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info
	find service workers tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.run: $(VENV)/.made requirements.txt pyproject.toml
	@echo 'Installing what requirements.txt pins into $(VENV) ...'
	@$(PIP) --require-hashes -r requirements.txt
	@$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.run requirements-dev.txt
	@echo 'Installing what requirements-dev.txt pins into $(VENV) ...'
	@$(PIP) --require-hashes -r requirements-dev.txt
	@touch $@

# An environment that is there already is kept. A version manager may answer for a Python that it does not have, so that each is asked to run.
$(VENV)/.made:
	@if $(BIN)/python -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then touch $@; exit 0; fi; \
	for python in $(if $(PYTHON),"$(PYTHON)",python3.13 python3.12 python3.11 python3); do \
		"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 || continue; \
		found="$$python"; \
		"$$python" -c 'import ensurepip, venv' >/dev/null 2>&1 || continue; \
		"$$python" -m venv --clear $(VENV) || exit 1; \
		touch $@; \
		exit 0; \
	done; \
	if [ -n "$$found" ]; then \
		echo "$$found cannot make virtual environments: install its venv module (Debian, Ubuntu: apt install python3-venv)" >&2; \
	else \
		echo 'Python 3.11 or newer is needed, and none was found: install it, or name it with PYTHON=/path/to/python3' >&2; \
	fi; \
	exit 1
