# What a contributor types. `make help` lists it.
SHELL := /bin/sh
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# The distribution's own Python: built with link-time optimisation, and with the shared libpython that freezing needs.
PYTHON ?= /usr/bin/python3
VENV ?= .venv
LOCKS := packaging/requirements
STAMP := $(VENV)/.installed
UV_VERSION := 0.13.9

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z][a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | sort | awk -F'\t' '{printf "  %-18s %s\n", $$1, $$2}'

.PHONY: check-system
check-system: ## say which system packages are missing, and the one line that installs them
	@PYTHON=$(PYTHON) sh packaging/check-system.sh

.PHONY: venv
venv: $(STAMP) ## make .venv from the locked requirements, the project in it

# Sources only come as alibabacloud-tea: its build tools are pinned like everything else, and installed first.
$(STAMP): $(LOCKS)/build.txt $(LOCKS)/dev.txt pyproject.toml | check-system
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(LOCKS)/build.txt
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-build-isolation -r $(LOCKS)/dev.txt
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	touch $@

.PHONY: lock
lock: ## resolve the requirements again (UPGRADE=--upgrade takes what is new)
	test -x build/lock/bin/uv || { $(PYTHON) -m venv build/lock && build/lock/bin/pip install --quiet uv==$(UV_VERSION); }
	$(call resolve,dev,--extra freeze --extra test $(UPGRADE) pyproject.toml $(LOCKS)/build.in)
	$(call resolve,freeze,--extra freeze -c $(LOCKS)/dev.txt pyproject.toml)
	$(call resolve,runtime,-c $(LOCKS)/dev.txt pyproject.toml)
	$(call resolve,build,-c $(LOCKS)/dev.txt $(LOCKS)/build.in)

resolve = build/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-annotate --no-header $(2) --output-file $(LOCKS)/$(1).txt

.PHONY: freeze
freeze: $(STAMP) ## freeze the plugin into build/dist
	$(VENV)/bin/python packaging/freeze.py trimmed

.PHONY: freeze-untrimmed
freeze-untrimmed: $(STAMP) ## freeze it as PyInstaller does by default, to compare
	$(VENV)/bin/python packaging/freeze.py untrimmed

.PHONY: freeze-plain
freeze-plain: $(STAMP) ## freeze an empty program, to compare
	$(VENV)/bin/python packaging/freeze.py plain

.PHONY: clean
clean: ## remove everything that was built; the venv stays
	rm -rf build dist
