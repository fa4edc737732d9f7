# Everything a contributor types. `make help` lists it; only make and Python 3.11 or newer are needed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.9
STAMP := $(VENV)/.headrace-setup
SOURCES := engine dsl runners api
TESTS := $(wildcard tests/unit tests/properties tests/contracts tests/simulation tests/integration tests/acceptance tests/chaos)
export UV_PYTHON_DOWNLOADS := never

.DEFAULT_GOAL := help
.PHONY: help setup demo lab up down test lint format types imports check model mutants coverage simulate chaos fuzz soak bench requirements clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## the environment in .venv, from hashed requirements (does nothing when it is up to date)

$(STAMP): requirements-dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Headrace needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1). Say: make setup PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv==$(UV_VERSION)"
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements-dev.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup ## the daily sales example, run here, with its report
	@$(BIN)/headrace run examples/workflows/daily_sales/daily_sales.yaml
	@ls -1t examples/workflows/daily_sales/reports/*/report.md | head -1 | sed 's/^/\nThe report: /'

lab: setup ## real Kafka, PostgreSQL and Valkey here, without Docker or root
	@$(BIN)/headrace lab up

up: .env ## the full mode in containers: infrastructure, engine, two workers (make down ends it)
	@docker compose --profile full up --build --detach --wait

down: ## end what `make up` started; the data stay
	@docker compose --profile full down

.env:
	@cp .env.example .env

test: setup ## every test; the servers it needs come up by themselves; the last line is the runner's own
	@$(BIN)/pytest -n 3 --dist worksteal --durations=25 $(TESTS)

lint: setup ## ruff: rules and formatting
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

format: setup ## put the code in shape
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

types: setup ## mypy --strict over the sources
	@$(BIN)/mypy $(SOURCES)

imports: setup ## which part may import which
	@$(BIN)/lint-imports --no-cache

check: lint types imports test ## all of the above

model: setup ## every order of events of the protocol, in larger worlds than the tests take; some minutes
	@$(BIN)/python -m tests.simulation.protocol

simulate: setup ## the whole engine on virtual time, with faults from 50,000 seeds; some minutes
	@$(BIN)/headrace simulate --seed 10000000 --seeds 50000 --jobs 2

chaos: setup ## real processes and servers, killed, stopped and cut off under load; MINUTES=20 SEED=1
	@$(BIN)/python -m tests.chaos --minutes $(or $(MINUTES),20) --seed $(or $(SEED),1)

mutants: setup ## faults put into a copy of the code on purpose; each must be caught by the test it names; some minutes
	@$(BIN)/python -m tests.mutants

coverage: setup ## lines and branches of the core that the fast tests reach; fails below 98%
	@$(BIN)/coverage run -m pytest -q tests/unit/core tests/unit/expressions tests/unit/shell tests/properties
	@$(BIN)/coverage report

fuzz: setup ## 50,000 random requests to a real server, held against its own description; a quarter of an hour, or longer
	@$(BIN)/python -m tests.acceptance.api.fuzzing

soak: setup ## does anything grow under a steady load? MINUTES=60 RATE=10
	@$(BIN)/python -m bench.soak --minutes $(or $(MINUTES),60) --rate $(or $(RATE),10) --out soak.jsonl --plot soak.svg

bench: setup ## how fast it is here, beside the barest loop
	@$(BIN)/python -m bench

requirements: setup ## resolve the dependencies again and write the hashed requirements
	@$(BIN)/uv lock --quiet --upgrade
	@$(BIN)/uv export --quiet --frozen --no-dev --no-emit-project --no-annotate --no-header -o requirements.txt > /dev/null
	@$(BIN)/uv export --quiet --frozen --only-group build --no-emit-project --no-annotate --no-header -o deploy/requirements-build.txt > /dev/null
	@$(BIN)/uv export --quiet --frozen --all-extras --no-emit-project --no-annotate --no-header -o requirements-dev.txt > /dev/null

clean: ## what can be made again
	@rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis uv.lock
