# The two commands are `make up` and `make test`; each does all the set-up it needs.
.PHONY: help up down setup test check ui screenshots bench docs lock wheel clean
PY := .venv/bin/python
EXPERIMENT ?= all

help: ## what can be made
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

setup: ## install everything, leave .venv/bin/qd
	@tools/setup.sh

up: setup ## start a server and an agent on this machine
	@.venv/bin/qd up --detach --wait

down: ## stop what `make up` started
	@.venv/bin/qd down

test: ## run every test
	@tools/setup.sh test
	@$(PY) -m pytest -n 2 --dist worksteal -q $(ARGS)

check: ## linters, types, the floors
	@tools/setup.sh
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@.venv/bin/lint-imports
	@.venv/bin/pyright
	@.venv/bin/pyright -p pyrightconfig.windows.json
	@.venv/bin/pyright -p pyrightconfig.tests.json
	@$(PY) -m tools.ui check

ui: setup ## build the web UI, when its sources have changed
	@$(PY) -m tools.ui

screenshots: ## take pictures of the web UI into build/screenshots/
	@tools/setup.sh test
	@$(PY) -m tools.screenshots

bench: ## run the experiments, or one: make bench EXPERIMENT=ring_to_columns
	@tools/setup.sh test
	@$(PY) -m bench $(EXPERIMENT)

docs: setup ## write docs/reference from the code
	@$(PY) -m tools.reference

lock: setup ## pin all requirements, with hashes
	@.venv/bin/uv pip compile -q --universal --generate-hashes --python-version 3.11 --all-extras --group dev pyproject.toml -o requirements.lock

wheel: setup ## build dist/*.whl
	@$(PY) -m hatchling build -t wheel

clean: ## remove what was built
	@rm -rf dist build ui/dist .pytest_cache .ruff_cache .import_linter_cache .hypothesis
