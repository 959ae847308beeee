# Everything runs in .venv. It is made on first use from the pins and their hashes, and installed
# again only when they change.
VENV = .venv
BIN = $(VENV)/bin
# The documentation site is built in an environment of its own: the service needs nothing of it.
DOCS = .venv-docs
# The Python of a new .venv: make run PYTHON=/path/to/python3
PYTHON =
# Set to 1 by make test-all: tests that try things at random try ten times as many.
THOROUGH =
export THOROUGH
# Options of `make run`, `make bench-delivery`, `make faults`, and of pytest: make test ARGS="-k twilio"
ARGS =
# Modules are compiled when they are first imported: most of what is installed never is.
PIP = $(BIN)/python -m pip --disable-pip-version-check --no-input install --quiet --no-compile
# What the tests need, besides what `make run` needs.
PINS = requirements.txt requirements-run.txt requirements-dev.txt requirements-extras.txt
COMPILE = $(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options \
	--no-header --no-annotate
CODE = service workers tests
LINT = $(BIN)/ruff check $(CODE) && $(BIN)/ruff format --check $(CODE) && \
	$(BIN)/codespell $(CODE) docs deploy *.md *.in Makefile pyproject.toml
SITE = $(BIN)/python -m tests.repository.site && $(DOCS)/bin/zensical build --clean --strict
PYTEST = -m pytest --quiet --dist worksteal
# The versions of Python that pyproject.toml names.
PYTHONS = $(shell sed -n 's/.*Language :: Python :: \(3\.[0-9]*\)".*/\1/p' pyproject.toml)
# Tests import faster from compiled files, and leave them where `make clean` finds them.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help run browser test test-fast test-all bench-front-door bench-compare bench-sources bench-cli bench-delivery bench-phonebook bench-finding bench-million bench-worker bench-spool attacks faults lint types \
	check docs pictures openapi audit sbom release-check rehearse lock clean

help:
	@echo 'make run             the whole service on this machine, with a sandbox in place of Buildr;'
	@echo '                     ARGS="--port 9000" for options'
	@echo 'make test            lint, types, all tests and their coverage'
	@echo 'make test-fast       only what is not slow, and a sample of the variants: two minutes'
	@echo 'make test-all        make test, then make test-fast on each other Python that is supported'
	@echo '                     and on this machine'
	@echo 'make browser         the console in a real browser; needs Chromium (apt-get install chromium)'
	@echo 'make check           the same as make test'
	@echo 'make lint            ruff (rules and format) and codespell'
	@echo 'make types           mypy'
	@echo 'make bench-front-door  how many messages a second it takes over HTTP, beside bare Starlette, arq,'
	@echo '                     saq and taskiq (minutes); writes docs/benchmarks.md; ARGS=--help'
	@echo 'make bench-compare   a short form of it, and what has changed since docs/front-door.json'
	@echo 'make bench-sources   what verifying and parsing a message costs, for each source'
	@echo 'make bench-cli       how soon commands end, and receiver and worker are ready (three minutes);'
	@echo '                     ARGS="--rounds 20 --write"'
	@echo 'make bench-delivery  how fast calls get to Buildr, beside the theoretical time and plain'
	@echo '                     arq (about 45 minutes); ARGS="--only latency" for a part, ARGS=--help'
	@echo 'make bench-worker    what a worker costs: idle, a fold, a backlog beside as many jobs of plain arq'
	@echo 'make bench-spool     what a message costs that waits on disk for Redis, and how soon it is there'
	@echo 'make bench-phonebook what a phone book of a million numbers takes of Redis, and a look-up'
	@echo 'make bench-finding   what the index of calls takes of Redis, and how long a page of calls takes'
	@echo 'make bench-million   commands, pages of the console and /metrics at a million stored calls'
	@echo '                     (minutes, 2 GB); ARGS="--calls 100000 --keep FOLDER"'
	@echo 'make attacks         forged requests, worst inputs, floods and slow connections, with figures'
	@echo '                     in docs/attacks.md (some minutes)'
	@echo 'make faults          everything that is known to break, with every message followed from its'
	@echo '                     sender to Buildr; writes docs/reliability.md (about 20 minutes);'
	@echo '                     ARGS="--only redis" for a part, ARGS=--list'
	@echo 'make pictures        the terminal pictures of the README, from real commands'
	@echo 'make openapi         many requests made from docs/openapi.yaml against the real receiver (minutes)'
	@echo 'make rehearse        upgrade from the release before, rollback, restarts, backup and restore behind'
	@echo '                     nginx and Caddy, under traffic (some minutes)'
	@echo 'make audit           the pinned packages against the database of known vulnerabilities;'
	@echo '                     exit code of the check 1: some are known, 3: it is out of reach'
	@echo 'make sbom            sbom.json: what a release is made of (CycloneDX), from the pins'
	@echo 'make docs            write the parts of the docs that follow from the code, and build the site of'
	@echo '                     the documentation, strictly, into build/site/html'
	@echo 'make release-check   build wheel and sdist into dist/ and check them, with bill of materials,'
	@echo '                     licences and release notes'
	@echo 'make lock            pin the newest versions in requirements*.txt'
	@echo 'make clean           remove all environments and caches; .data with the calls of make run'
	@echo '                     stays'

run: $(VENV)/.run
	@exec $(BIN)/python -m workers.cli.main run $(ARGS)

# Lint, types and the site of the docs need one core each and run beside the tests; their output comes
# after that of the tests. A run of some of the tests (ARGS) need not reach the floor of coverage.
# The first time, one process collects all tests beside them, so that not each of those that run them
# compiles every module.
test: $(VENV)/.dev $(DOCS)/.made
	@log=$$(mktemp -d) || exit 1; \
	trap 'kill $$lint $$types $$site 2>/dev/null; rm -rf "$$log"' EXIT; \
	trap 'exit 130' INT; trap 'exit 143' TERM; \
	{ $(LINT); } >"$$log/lint" 2>&1 & lint=$$!; \
	$(BIN)/mypy >"$$log/types" 2>&1 & types=$$!; \
	{ $(SITE); } >"$$log/site" 2>&1 & site=$$!; \
	status=0; \
	$(BIN)/coverage erase; \
	[ -d .pytest_cache ] || $(BIN)/python $(PYTEST) --quiet --collect-only >/dev/null; \
	$(BIN)/coverage run $(PYTEST) -n 4 $(ARGS) || status=1; \
	wait $$lint || status=1; \
	wait $$types || status=1; \
	wait $$site || status=1; \
	echo '-- coverage'; $(BIN)/coverage combine --quiet || status=1; \
	$(BIN)/coverage report $(if $(ARGS),--fail-under=0) || status=1; \
	echo '-- lint'; cat "$$log/lint"; \
	echo '-- types'; cat "$$log/types"; \
	echo '-- site'; cat "$$log/site"; \
	exit $$status

test-fast: $(VENV)/.dev
	@$(BIN)/python $(PYTEST) -n auto --fast $(ARGS)

# Each other Python has an environment of its own. pyenv answers to python3.12 on PATH only for the
# versions that it was told to use, so it is asked for the others.
test-all:
	@$(MAKE) --no-print-directory test THOROUGH=1
	@own=$$($(BIN)/python -c 'import sys; print("%d.%d" % sys.version_info[:2])') || exit 1; \
	status=0; \
	for version in $(PYTHONS); do \
		[ "$$version" != "$$own" ] || continue; \
		found=; \
		prefix="$$(pyenv prefix "$$version" 2>/dev/null)"; \
		for python in "python$$version" "$$prefix/bin/python$$version"; do \
			"$$python" -c 'import ensurepip, venv' >/dev/null 2>&1 && found="$$python" && break; \
		done; \
		if [ -z "$$found" ]; then \
			echo "-- Python $$version is not on this machine: skipped"; \
			continue; \
		fi; \
		echo "-- Python $$version"; \
		$(MAKE) --no-print-directory test-fast VENV=".venv-$$version" PYTHON="$$found" || status=1; \
	done; \
	exit $$status

browser: $(VENV)/.browser
	@$(BIN)/python $(PYTEST) tests/workers/console/test_browser.py tests/workers/dial/test_browser.py $(ARGS)

bench-front-door: $(VENV)/.dev
	@$(BIN)/python -m tests.benchmarks.front_door $(ARGS)

bench-compare: $(VENV)/.dev
	@$(BIN)/python -m tests.benchmarks.front_door --compare --only servers --rounds 3 --seconds 3 $(ARGS)

bench-sources: $(VENV)/.dev
	@$(BIN)/python -m tests.benchmarks.sources

bench-cli: $(VENV)/.dev
	@$(BIN)/python -m tests.benchmarks.command_start $(ARGS)

bench-delivery: $(VENV)/.dev
	@$(BIN)/python -m tests.benchmarks.delivery $(ARGS)

bench-spool: $(VENV)/.dev
	@$(BIN)/python -m tests.benchmarks.spool

bench-phonebook: $(VENV)/.dev
	@$(BIN)/python -m tests.benchmarks.phone_book

bench-worker: $(VENV)/.dev
	@$(BIN)/python -m tests.benchmarks.worker $(ARGS)

bench-finding: $(VENV)/.dev
	@$(BIN)/python -m tests.benchmarks.finding $(ARGS)

attacks: $(VENV)/.dev
	@$(BIN)/python -m tests.attacks.report $(ARGS)

# Trials end by themselves and take what they have started with them.
faults: $(VENV)/.dev
	@$(BIN)/python -m tests.faults.run $(ARGS)

lint: $(VENV)/.dev
	@$(LINT)

types: $(VENV)/.dev
	@$(BIN)/mypy

check: test

docs: $(VENV)/.dev $(DOCS)/.made
	@$(BIN)/python -m tests.repository.docs_tables
	@$(SITE)
	@echo 'build/site/html/index.html'

pictures: $(VENV)/.dev
	@$(BIN)/python -m tests.repository.pictures

openapi: $(VENV)/.dev
	@THOROUGH=1 $(BIN)/python $(PYTEST) tests/service/receiver/test_openapi.py $(ARGS)

audit: $(VENV)/.dev
	@$(BIN)/python -m tests.repository.audit $(ARGS)

release-check: $(VENV)/.dev
	@$(BIN)/python -m tests.repository.release

rehearse: $(VENV)/.dev
	@$(BIN)/python -m tests.rehearsal $(ARGS)

bench-million: $(VENV)/.dev
	@$(BIN)/python -m tests.benchmarks.million $(ARGS)

sbom: $(VENV)/.dev
	@$(BIN)/python -m tests.repository.sbom sbom.json && echo 'sbom.json'

lock: $(VENV)/.dev
	$(COMPILE) --upgrade --output-file requirements.txt requirements.in
	$(COMPILE) --upgrade --output-file requirements-run.txt requirements-run.in
	$(COMPILE) --upgrade --output-file requirements-dev.txt requirements-dev.in
	$(COMPILE) --upgrade --output-file requirements-extras.txt requirements-extras.in
	$(COMPILE) --upgrade --output-file requirements-browser.txt requirements-browser.in
	$(COMPILE) --upgrade --output-file requirements-docs.txt requirements-docs.in

clean:
	rm -rf $(VENV) .venv-3.* $(DOCS) .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage .coverage.*
	rm -rf build *.egg-info sbom.json dist
	find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.run: $(VENV)/.made requirements.txt requirements-run.txt pyproject.toml
	@echo 'Installing what requirements.txt and requirements-run.txt pin into $(VENV) ...'
	@$(PIP) --require-hashes -r requirements.txt -r requirements-run.txt
	@$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

# Two installers at a time, each with every other package, so that both of a machine's cores unpack.
# Neither looks for dependencies: the pins name all of them, and `pip check` says so at the end. pip
# itself comes last, when no other one runs.
$(VENV)/.dev: $(VENV)/.made $(PINS) pyproject.toml
	@echo 'Installing what $(PINS) pin into $(VENV) ...'
	@awk '/^[a-z0-9]/ { part = "twice"; if (!seen[$$1]++) part = $$1 ~ /^pip==/ ? "last" : count++ % 2 } \
		{ print > ("$(VENV)/pins-" part ".txt") }' $(PINS)
	@$(PIP) --no-deps --require-hashes -r $(VENV)/pins-0.txt & first=$$!; status=0; \
	$(PIP) --no-deps --require-hashes -r $(VENV)/pins-1.txt || status=1; \
	wait $$first || status=1; \
	exit $$status
	@$(PIP) --no-deps --require-hashes -r $(VENV)/pins-last.txt
	@$(PIP) --no-deps --no-build-isolation -e .
	@$(BIN)/python -m pip --disable-pip-version-check check >"$(VENV)/pins-checked.txt" || \
		{ cat "$(VENV)/pins-checked.txt" >&2; exit 1; }
	@touch $(VENV)/.run $@

$(VENV)/.browser: $(VENV)/.dev requirements-browser.txt
	@echo 'Installing what requirements-browser.txt pins into $(VENV) ...'
	@$(PIP) --require-hashes -r requirements-browser.txt
	@touch $@

$(DOCS)/.made: $(VENV)/.made requirements-docs.txt
	@echo 'Installing what requirements-docs.txt pins into $(DOCS) ...'
	@$(BIN)/python -m venv --clear $(DOCS)
	@$(DOCS)/bin/python -m pip --disable-pip-version-check --no-input install --quiet \
		--no-compile --require-hashes -r requirements-docs.txt
	@touch $@

# An environment that exists is kept. A version manager may answer for a Python that it does not
# have, so each is asked to run.
$(VENV)/.made:
	@if $(BIN)/python -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; \
	then touch $@; exit 0; fi; \
	for python in $(if $(PYTHON),"$(PYTHON)",python3.13 python3.12 python3.11 python3); do \
		"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 || continue; \
		found="$$python"; \
		"$$python" -c 'import ensurepip, venv' >/dev/null 2>&1 || continue; \
		"$$python" -m venv --clear $(VENV) || exit 1; \
		touch $@; \
		exit 0; \
	done; \
	if [ -n "$$found" ]; then \
		echo "$$found cannot make virtual environments: install its venv module" \
			"(Debian, Ubuntu: apt install python3-venv)" >&2; \
	else \
		echo 'Python 3.11 or newer is needed, and none was found: install it,' \
			'or name it with PYTHON=/path/to/python3' >&2; \
	fi; \
	exit 1
