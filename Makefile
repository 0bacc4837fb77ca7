# What a contributor types. `make help` lists it.
SHELL := /bin/sh
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# The distribution's own Python: built with link-time optimisation, and with the shared libpython that freezing needs.
PYTHON ?= /usr/bin/python3
VENV ?= .venv
LOCKS := packaging/requirements
STAMP := $(VENV)/.installed
FREEZE_VENV := build/freeze-venv
FREEZE_STAMP := $(FREEZE_VENV)/.installed
FUZZ_VENV := build/fuzz-venv
FUZZ_STAMP := $(FUZZ_VENV)/.installed
CONTROLLER_VENV := build/controller-venv
CONTROLLER_STAMP := $(CONTROLLER_VENV)/.installed
# Whether root lets make install what the distribution must give; it is said first.
SETUP ?= yes
UV_VERSION := 0.13.9

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z][a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | sort | awk -F'\t' '{printf "  %-18s %s\n", $$1, $$2}'

.PHONY: check-system
check-system: ## say which system packages are missing, and the one line that installs them
	@SETUP=no PYTHON=$(PYTHON) sh packaging/check/system_packages.sh

.PHONY: set-up
set-up:
	@SETUP=$(SETUP) PYTHON=$(PYTHON) sh packaging/check/system_packages.sh

.PHONY: check-python
check-python:
	@SETUP=$(SETUP) NEEDED_FOR=unit PYTHON=$(PYTHON) sh packaging/check/system_packages.sh

.PHONY: check-build
check-build:
	@SETUP=$(SETUP) NEEDED_FOR=build PYTHON=$(PYTHON) sh packaging/check/system_packages.sh

.PHONY: venv
venv: $(STAMP) ## make .venv from the locked requirements, the project in it

$(STAMP): $(LOCKS)/build.txt $(LOCKS)/dev.txt pyproject.toml | check-python
	$(call install,$(VENV),$(LOCKS)/dev.txt)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	touch $@

# What is frozen must not depend on which tools a developer has: pydantic, for one, imports rich where it finds it.
$(FREEZE_STAMP): $(LOCKS)/build.txt $(LOCKS)/freeze.txt | check-build
	$(call install,$(FREEZE_VENV),$(LOCKS)/freeze.txt)
	touch $@

$(CONTROLLER_STAMP): $(LOCKS)/build.txt $(LOCKS)/controller.txt | check-build
	$(call install,$(CONTROLLER_VENV),$(LOCKS)/controller.txt)
	touch $@

$(FUZZ_STAMP): $(LOCKS)/build.txt $(LOCKS)/fuzz.txt | check-build
	$(call install,$(FUZZ_VENV),$(LOCKS)/fuzz.txt)
	touch $@

# alibabacloud-tea is published as source only: what builds it is pinned like the rest, and installed first.
define install
	test -x $(1)/bin/python || $(PYTHON) -m venv $(1)
	$(1)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(LOCKS)/build.txt
	$(1)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-build-isolation -r $(2)
endef

.PHONY: lock
lock: ## resolve the requirements again (UPGRADE=--upgrade takes what is new)
	test -x build/lock/bin/uv || { $(PYTHON) -m venv build/lock && build/lock/bin/pip install --quiet uv==$(UV_VERSION); }
	$(call resolve,dev,--extra freeze --extra test --extra controller --extra node $(UPGRADE) pyproject.toml $(LOCKS)/build.in)
	$(call resolve,freeze,--extra freeze --extra node -c $(LOCKS)/dev.txt pyproject.toml)
	$(call resolve,controller,--extra freeze --extra controller -c $(LOCKS)/dev.txt pyproject.toml)
	$(call resolve,fuzz,--extra fuzz --extra controller --extra node -c $(LOCKS)/dev.txt pyproject.toml)
	$(call resolve,runtime,-c $(LOCKS)/dev.txt pyproject.toml)
	$(call resolve,build,-c $(LOCKS)/dev.txt $(LOCKS)/build.in)

resolve = build/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-annotate --no-header $(2) --output-file $(LOCKS)/$(1).txt

.PHONY: freeze
freeze: $(FREEZE_STAMP) ## freeze the plugin into build/dist
	PYTHONPATH=packaging $(FREEZE_VENV)/bin/python -m freeze.build plugin

.PHONY: freeze-controller
freeze-controller: $(CONTROLLER_STAMP) ## freeze what works on a cluster's objects into build/dist/controller
	PYTHONPATH=packaging $(CONTROLLER_VENV)/bin/python -m freeze.build controller

.PHONY: freeze-untrimmed
freeze-untrimmed: $(FREEZE_STAMP) ## freeze it as PyInstaller does by default, to compare
	PYTHONPATH=packaging $(FREEZE_VENV)/bin/python -m freeze.build untrimmed

.PHONY: freeze-plain
freeze-plain: $(FREEZE_STAMP) ## freeze an empty program, to compare
	PYTHONPATH=packaging $(FREEZE_VENV)/bin/python -m freeze.build plain

.PHONY: dist
dist: image ## make all that operators install, in dist/; ARCH=arm64 adds that architecture, emulated

.PHONY: bundles
bundles: freeze freeze-controller ## pack both bundles, the chart and the manifests into dist/, with checksums, SBOM and VEX
	PYTHONPATH=packaging $(FREEZE_VENV)/bin/python -m dist.archives

.PHONY: emulated
emulated: $(FREEZE_STAMP)
	sh packaging/dist/cross_build.sh $(ARCH)

.PHONY: image
image: $(if $(ARCH),emulated,bundles) | check-system ## put all bundles in dist/ into one container image, without a daemon
	PYTHONPATH=packaging $(FREEZE_VENV)/bin/python -m dist.image

.PHONY: krew
krew: $(FREEZE_STAMP) ## write the manifest by which krew installs kubectl-acr from RELEASE_URL into dist/
	PYTHONPATH=packaging $(FREEZE_VENV)/bin/python -m dist.krew $(RELEASE_URL)

.PHONY: reproduce
reproduce: dist ## build what is committed a second time, elsewhere, and compare the bytes
	sh packaging/check/reproduce.sh

.PHONY: release-check
release-check: venv dist ## say whether this commit can be released, and what is in the way
	$(VENV)/bin/python -m pytest -q tests/unit/packaging tests/contract/test_supply_chain.py tests/contract/test_bundle.py \
		tests/contract/test_guides.py tests/contract/test_readme.py
	PYTHONPATH=packaging $(VENV)/bin/python -m check.release

.PHONY: rehearse
rehearse: venv ## go all the steps of a release, arm64 included, in a clone that is thrown away; as root, twenty minutes
	RELEASE_FULL=1 $(VENV)/bin/python -m pytest -v -s -o faulthandler_timeout=3600 tests/contract/test_release.py

PY := $(VENV)/bin/python
# Most tests wait for real programs: four at a time keep two cores busy.
WORKERS ?= 4
SIDE_BY_SIDE = --numprocesses $(WORKERS) --dist worksteal

.PHONY: demo
demo: venv freeze ## show the main job: a kubelet's request in, a token out, an image pulled with it
	PYTHONPATH=tests $(PY) tests/demo.py

.PHONY: test
test: set-up venv freeze lint ## all tests that need no cluster, against the source and the frozen binary; WORKERS (4) at a time
	$(PY) -m pytest -q $(SIDE_BY_SIDE)

.PHONY: unit
unit: venv ## the unit tests alone, without those that take long: a first answer, no root and nothing frozen
	$(PY) -m pytest -q $(SIDE_BY_SIDE) -m "not thorough" tests/unit

.PHONY: distros
distros: venv freeze freeze-controller ## run the bundle in the roots of other distributions, and in one with nothing in it; as root
	@NEEDED_FOR=distros PYTHON=$(PYTHON) sh packaging/check/system_packages.sh
	$(PY) -m pytest -q tests/distros

.PHONY: lint
lint: venv ## style, types, and imports that only go down
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

.PHONY: hostile
hostile: venv freeze freeze-controller e2e-assets ## attack what is shipped, from the seat of each actor of the threat model; as root
	$(PY) -m pytest -q $(SIDE_BY_SIDE) tests/hostile

# FUZZ_SECONDS for each target; see tests/fuzz/README.md.
.PHONY: fuzz
fuzz: $(FUZZ_STAMP) ## let a fuzzer look for bytes that break a parser's promise, FUZZ_SECONDS (60) for each
	PYTHONPATH=provider:node-config:tests $(FUZZ_VENV)/bin/python tests/fuzz/run.py

.PHONY: lint-workflows
lint-workflows: ## judge .github/workflows by actionlint, which Go builds
	go -C packaging/check/actionlint tool actionlint $(CURDIR)/.github/workflows/*.yml

.PHONY: soak
soak: venv freeze freeze-controller e2e-assets ## random kills for MINUTES (10), 5,000 random UNITS, a million steps of the controller's model, 500 SEQUENCES and 3,000 namespaces on a real API server, fuzzing for FUZZ_SECONDS (3600) a target
	$(PY) -m pytest -q -s tests/soak
	REFUSED_FULL=1 $(PY) -m pytest -q tests/e2e/test_refused_identities.py
	UNITS=$${UNITS:-5000} $(PY) -m pytest -q -o faulthandler_timeout=7200 tests/systemd/test_random_units.py
	STATE_MACHINE_EXAMPLES=$${STATE_MACHINE_EXAMPLES:-20000} STATE_MACHINE_STEPS=$${STATE_MACHINE_STEPS:-50} \
		$(PY) -m pytest -q -o faulthandler_timeout=36000 tests/unit/pull_secrets/reconcile/test_state_machine.py
	SEQUENCES=$${SEQUENCES:-500} NAMESPACES=3000 FLOOD_SECONDS=30 \
		$(PY) -m pytest -q -o faulthandler_timeout=7200 tests/controller/test_sequences.py tests/controller/test_floods.py
	FUZZ_SECONDS=$${FUZZ_SECONDS:-3600} $(MAKE) fuzz

.PHONY: bench
bench: venv freeze freeze-untrimmed freeze-plain ## measure the figures that the design promises; writes build/bench.json
	PYTHONPATH=tests $(PY) tests/bench/plugin.py

.PHONY: bench-webhook
bench-webhook: venv e2e-assets ## measure the webhook on a real API server; writes build/bench-webhook.json
	PYTHONPATH=tests $(PY) tests/bench/webhook.py

.PHONY: sandbox
sandbox: venv ## run the ACR sandbox on loopback and say how to point things at it
	PYTHONPATH=tests $(PY) -m sandbox

.PHONY: version
version: venv ## write the version of version.py into the chart
	PYTHONPATH=packaging $(PY) -m generate.chart_version

.PHONY: schema
schema: venv ## write the JSON Schemas of settings and chart values again, and the page of the settings
	PYTHONPATH=packaging $(PY) -m generate.settings_schema > docs/settings.schema.json
	PYTHONPATH=packaging $(PY) -m generate.settings_reference > docs/reference/settings.md
	PYTHONPATH=packaging $(PY) -m generate.values_schema > packaging/chart/values.schema.json

.PHONY: chart-readme
chart-readme: venv ## write the chart's README again, from its schema and values.yaml
	PYTHONPATH=packaging $(PY) -m generate.chart_readme > packaging/chart/README.md

.PHONY: manifests
manifests: venv e2e-assets ## write the plain manifests' objects again, from the chart
	PYTHONPATH=packaging $(PY) -m generate.manifests "$$(PYTHONPATH=tests $(PY) -c 'from cluster import parts; print(parts.find("helm"))')"

.PHONY: dashboards
dashboards: ## write the Grafana dashboards again; then make manifests
	PYTHONPATH=packaging $(PY) -m generate.dashboards

.PHONY: remedies
remedies: venv ## write docs/remedies.md again, from the errors in the code
	PYTHONPATH=packaging $(PY) -m generate.error_reference > build/remedies.md && mv build/remedies.md docs/remedies.md

.PHONY: clean
clean: ## remove everything that was built; the venv stays
	rm -rf build dist

.PHONY: e2e-assets
e2e-assets: venv ## build what a cluster needs and nobody packages, once per version; kept outside of the tree
	PYTHONPATH=tests $(PY) -m cluster.assets

.PHONY: sdks
sdks: venv ## fetch Alibaba Cloud's SDKs whose models tests read, once per version; kept outside of the tree
	PYTHONPATH=tests $(PY) -m cluster.sdks

.PHONY: e2e
e2e: venv freeze freeze-controller e2e-assets image ## pull through the frozen plugin on a real cluster, as root; E2E_FULL=1 runs the long scenario in full
	$(PY) -m pytest --verbose $(if $(E2E_FULL),-o faulthandler_timeout=1800) tests/cluster/e2e

# Not part of CI: each takes as long as `make e2e`.
.PHONY: e2e-kubelets
e2e-kubelets: venv freeze freeze-controller e2e-assets image ## the same with each older whole kubelet on the cluster, as root
	for folder in $$(PYTHONPATH=tests $(PY) -m cluster.assets --kubelets | grep ^/); do \
	    E2E_ASSETS=$$folder $(PY) -m pytest --verbose tests/cluster/e2e && \
	    cp build/e2e/tested-with.md build/e2e/tested-with-$$(basename $$folder).md || exit 1; \
	done

.PHONY: test-systemd
test-systemd: venv freeze e2e-assets ## install on a machine that boots systemd, with all that can go wrong; as root
	PYTHONPATH=tests $(PY) -m systemd.machine > /dev/null
	$(PY) -m pytest -q tests/systemd

# Without the earlier version's commit the tests are skipped, or fail with UPGRADE_REQUIRED=1.
.PHONY: test-upgrade
test-upgrade: venv freeze freeze-controller e2e-assets ## upgrade an earlier version to this one, and go back: plugin, node, controller; as root
	PYTHONPATH=tests $(PY) -m systemd.machine > /dev/null
	-PYTHONPATH=tests $(PY) -m upgrade.old_version > /dev/null
	$(PY) -m pytest -q tests/upgrade

.PHONY: test-image
test-image: venv image ## push, pull, unpack and run the image; as root
	@NEEDED_FOR=distros PYTHON=$(PYTHON) sh packaging/check/system_packages.sh
	$(PY) -m pytest -q tests/image

.PHONY: test-sdks
test-sdks: set-up venv ## Alibaba Cloud's official SDKs and clients of registries judge the ACR sandbox; as root
	PYTHONPATH=tests $(PY) -m sdks.callers
	$(PY) -m pytest -q tests/sdks

.PHONY: tested-with-sdks
tested-with-sdks: test-sdks ## run the SDKs and write down what came of each case
	cp build/sdks/tested-with-sdks.md docs/tested-with-sdks.md

.PHONY: test-chart
test-chart: venv e2e-assets ## the chart as Helm renders it for each Kubernetes, and each way to deploy it on a real API server
	$(PY) -m pytest -q tests/chart

.PHONY: test-alerts
test-alerts: venv e2e-assets ## alerts and dashboards, judged by the real Prometheus, which Go builds
	$(PY) -m pytest -q tests/alerts

.PHONY: test-controller
test-controller: venv freeze-controller e2e-assets sdks ## what works on a cluster's objects, against a real API server (CHAOS_FULL=1: 50 leaders killed, longer outages)
	$(PY) -m pytest -q $(if $(CHAOS_FULL),-o faulthandler_timeout=1800) --numprocesses 3 --dist loadfile tests/controller

.PHONY: bench-controller
bench-controller: venv e2e-assets ## measure the pull-secrets controller against a real API server; BENCH_FULL=1 with 10,000 accounts
	PYTHONPATH=tests $(PY) tests/bench/controller.py

.PHONY: tested-with
tested-with: e2e ## run the cluster tests and write down what they were run with
	cp build/e2e/tested-with.md docs/tested-with.md
	PYTHONPATH=packaging $(PY) -m generate.tested
