# `make` lists the targets. ARGS are handed on: make test ARGS="-k lease -x"
PYTHON ?= python3
# How many processes run the tests, file by file as they stand (the slow ones come before the quick
# ones); each starts servers of its own.
WORKERS ?= 2
# Of `make soak`.
MINUTES ?= 20
SEED ?= 1
# Of `make simulate`; SEED=1234 replays that one and prints what happened, MUTATIONS=yes plants bugs.
SEEDS ?= 1000
MUTATIONS ?=
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install up migrate status test test-unit test-compat soak simulate bench check audit format constraints clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(INSTALLED) ## Make .venv with all that the server and its tests need

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

up: $(INSTALLED) ## Start everything on this machine; Ctrl-C stops it
	@exec $(BIN)/chat-orchestrator up $(ARGS)

migrate: $(INSTALLED) ## Bring the database's tables up to date
	@$(BIN)/chat-orchestrator migrate $(ARGS)

status: $(INSTALLED) ## Show hosts, leases and queues of the running server
	@$(BIN)/chat-orchestrator status $(ARGS)

test: $(INSTALLED) ## Run all tests; they start servers of their own
	$(BIN)/python -m pytest tests/ -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

test-unit: $(INSTALLED) ## Run the tests that start no server
	$(BIN)/python -m pytest tests/unit $(ARGS)

test-compat: $(INSTALLED) ## Run all tests with Debian's PostgreSQL 15 and Redis 7 (root installs them)
	@test -x /usr/lib/postgresql/15/bin/postgres && command -v redis-server >/dev/null || \
		{ apt-get update && apt-get install --yes --no-install-recommends postgresql-15 redis-server; }
	TEST_SERVERS=debian $(BIN)/python -m pytest tests/ -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

soak: $(INSTALLED) ## Break things at random for MINUTES (20), then run the tests that take minutes
	$(BIN)/python -u -m tests.soak --minutes $(MINUTES) --seed $(SEED)
	$(BIN)/python -m pytest tests/ -m soak -s $(ARGS)

simulate: $(INSTALLED) ## Run SEEDS (1000) simulated clusters, all faults included, on a virtual clock
	$(BIN)/python -u -m tests.simulation $(if $(MUTATIONS),--mutations) \
		$(if $(filter file,$(origin SEED)),--seeds $(SEEDS),--seed $(SEED)) $(ARGS)

bench: $(INSTALLED) ## Measure the product beside other designs on this machine (root installs wrk and redis-benchmark)
	@command -v wrk >/dev/null && command -v redis-benchmark >/dev/null || \
		{ apt-get update && apt-get install --yes --no-install-recommends wrk redis-tools; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	$(BIN)/python -u -m benchmarks $(ARGS)

check: $(INSTALLED) ## Lint, formatting, types and import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

audit: $(INSTALLED) ## Look for known vulnerabilities in what constraints.txt names
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[audit]'
	$(BIN)/python .ci/audit.py

format: $(INSTALLED) ## Format the code and repair what can be repaired
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

constraints: $(INSTALLED) ## Renew constraints.txt with the newest versions
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@echo '# The versions that the tests ran with, for Python 3.11 and later. Renew with: make constraints' > $(VENV)/constraints.txt
	$(BIN)/uv pip compile --quiet --upgrade --no-emit-index-url --no-header --no-annotate \
		--all-extras --python-version 3.11 pyproject.toml >> $(VENV)/constraints.txt
	mv $(VENV)/constraints.txt constraints.txt

clean: ## Remove .venv, caches and builds; stored data (.data) stays
	rm -rf $(VENV) build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find actors benchmarks ingress storage tests -name __pycache__ -type d -prune -exec rm -rf {} +
