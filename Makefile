# `make` lists the targets. Everything that is made here lies in .venv and .cache; `make clean` removes both.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export FAILOVER_CACHE ?= $(CURDIR)/.cache
export PIP_CACHE_DIR ?= $(FAILOVER_CACHE)/pip
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export RUFF_CACHE_DIR := $(FAILOVER_CACHE)/ruff
export MYPY_CACHE_DIR := $(FAILOVER_CACHE)/mypy

LAB_PACKAGES := mmdebstrap rsync openssh-client openssh-server openssh-sftp-server iproute2 nftables util-linux nginx-light prometheus sudo
CONTAINER_PACKAGES := docker.io iptables iproute2 util-linux mmdebstrap dpkg-dev
TEST_PACKAGES := $(LAB_PACKAGES) postgresql mariadb-server mariadb-backup restic
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)

.DEFAULT_GOAL := help
.PHONY: help install lab-packages test-packages demo test check bench lab containers lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(VENV)/.installed ## makes .venv with exactly the locked packages and this program

$(VENV)/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "failover needs Python 3.11 or later; $(PYTHON) is $$($(PYTHON) --version)" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || tests/install-packages python3-venv
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

lab-packages: ## installs the Debian packages that the lab of real hosts needs
	@tests/install-packages $(LAB_PACKAGES)

test-packages: ## and those that the tests start on this machine itself
	@tests/install-packages $(TEST_PACKAGES)

demo: install lab-packages ## builds the lab, fails each server and two in a row, watches the recoveries, prints the outages
	$(BIN)/python -m tests.demo

lab: install lab-packages ## a lab of real hosts to play in
	$(BIN)/python -m tests.lab

containers: install ## starts docker-compose.yml in an engine of its own, plays the three recoveries, takes all down
	@tests/install-packages $(CONTAINER_PACKAGES)
	$(BIN)/python -m tests.containers

test: install test-packages ## every test
	$(BIN)/python -m tests.lab.build
	$(BIN)/python -m pytest -o cache_dir=$(FAILOVER_CACHE)/pytest $(ARGS)

check: install ## style, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q -o cache_dir=$(FAILOVER_CACHE)/pytest tests/test_layers.py

bench: install test-packages ## measures us beside our peers
	$(BIN)/python -m tests.bench

lock: ## writes requirements.lock anew from pyproject.toml (needs uv)
	uv pip compile -q --generate-hashes --universal --python-version 3.11 --extra dev --no-emit-index-url --no-header --no-annotate pyproject.toml -o requirements.lock

clean: ## removes .venv and every cache
	rm -rf $(VENV) .cache .pytest_cache .ruff_cache .mypy_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
