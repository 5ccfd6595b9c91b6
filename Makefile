# The few commands people need. `make` alone shows them.
PY := .venv/bin/python

help: ## Show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

setup: ## A virtual environment with everything for development
	python3 -m venv .venv && .venv/bin/pip install -q -U pip && .venv/bin/pip install -q --group dev -e .

demo: ## The server with a sample service under load
	.venv/bin/mamimon demo

check: ## Format, lint, types, layers and tests, as CI runs them
	$(PY) tests/check.py

fix: ## Let ruff mend what it can
	.venv/bin/ruff format . && .venv/bin/ruff check --fix .

test: ## The tests alone
	$(PY) -m pytest -q

shots: ## Screenshots of every page in four variants into screenshots/
	$(PY) -m tests.browser.shots

.PHONY: help setup demo check fix test shots
