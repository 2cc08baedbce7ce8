# The verbs, the same for people and CI. `make demo` and `make test` are all a newcomer needs.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

VENV := .venv
BIN := $(VENV)/bin
GENERATED := src/temper/engine/_bpf
BPF_SOURCES := $(wildcard bpf/*.c bpf/*.h)
# Programs without .py at the end, which ruff does not find by itself.
BENCH_SCRIPTS := bench/run bench/demo/run $(wildcard bench/node_agent/[a-z]*)
CLANG ?= $(firstword $(foreach v,21 20 19 18 17,$(if $(shell command -v clang-$(v)),clang-$(v))) clang)
# As a guest runs it, where the tests lie on a disk that can't be written.
PYTEST_THERE := python3 -m pytest -p no:cacheprovider
# On every other kernel: attach, the fence by trace, a change under load, the engine killed, the local switch.
MATRIX := test_attach.py test_confinement.py test_live_change.py::test_live_change test_engine_killed.py \
  test_safe_mode.py::test_safe_mode_with_a_living_agent
# Two caches and two threads each, so that the verifier sees the code for them.
# With the libbpf of the guest's Debian, not the newer one that the other tests have.
ON_KERNEL = testbed/run --topology 2,1,2 --timeout 900 --clock virtual --kernel $(1) -- \
  env LD_LIBRARY_PATH=/usr/lib/x86_64-linux-gnu/libbpf-trixie $(PYTEST_THERE) $(addprefix /opt/temper/tests/kernel/,$(MATRIX))
# Of the kernel tests of cpu.max, those that take minutes together.
QUOTA_SHORT := test_cpu_max.py test_cpu_max_nested.py test_cpu_max_smooth.py test_polled_cgroups.py test_tier_ceilings.py
GUEST_PYTEST := $(PYTEST_THERE) /opt/temper/tests
# v3: 32-bit jumps and ALU, which every kernel with sched_ext has.
BPF_CFLAGS := -g -O2 -target bpf -mcpu=v3 -Wall -Wextra -Werror -Wno-unused-parameter

.PHONY: help
help: ## this list
	@grep -hE '^[a-z0-9.-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

.PHONY: setup
setup: $(VENV)/.stamp ## install what is missing: system packages and the Python environment
$(VENV)/.stamp: requirements/dev.txt testbed/setup
	testbed/setup
	python3 -m venv $(VENV)
	$(BIN)/pip install --quiet --require-hashes --requirement requirements/dev.txt
	echo "$(CURDIR)/src" > $$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/temper-source.pth
	printf '#!/bin/sh\nexec "%s" -m temper "$$@"\n' "$(CURDIR)/$(BIN)/python" > $(BIN)/temper && chmod +x $(BIN)/temper
	touch $@

.PHONY: build
build: $(GENERATED)/temper.bpf.o $(GENERATED)/binding.py ## the BPF object and the cffi module
$(GENERATED)/temper.bpf.o: $(BPF_SOURCES) Makefile | $(VENV)/.stamp
	mkdir -p $(@D)
	$(CLANG) $(BPF_CFLAGS) -c bpf/temper.bpf.c -o $@.new && mv $@.new $@
$(GENERATED)/binding.py: bpf/temper_abi.h src/temper/engine/bindings.py | $(VENV)/.stamp
	$(BIN)/python -m temper.engine.bindings bpf/temper_abi.h $@

.PHONY: wheel
wheel: build ## the wheel, with the BPF object in it
	$(BIN)/python -m hatchling build -t wheel -d dist

.PHONY: lock
lock: ## pin the dependencies anew (hashes, no addresses)
	for f in runtime dev guest; do \
	  $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	    requirements/$$f.in -o requirements/$$f.txt; done

.PHONY: lint
lint: build ## formatters, linters, types, import contracts
	$(BIN)/ruff format --check . $(BENCH_SCRIPTS)
	$(BIN)/ruff check . $(BENCH_SCRIPTS)
	$(BIN)/mypy
	$(BIN)/lint-imports
	clang-format-19 --dry-run --Werror $(BPF_SOURCES)

.PHONY: unit
unit: build ## unit and property tests
	$(BIN)/python -m pytest tests/unit

# Guests with the virtual clock run on one core each, and what the host does beside them doesn't count: two at a time.
.PHONY: kernel
kernel: build ## kernel tests, in the guest: the newest kernel, and machines that must be refused
	testbed/run --cpus 4 --timeout 1500 -- $(GUEST_PYTEST)/kernel
	$(MAKE) -j2 kernel-faults kernel-quota-short kernel-matrix kernel-timed kernel-smt
	testbed/run --cpus 2 --timeout 300 --kernel 7.2 -- $(GUEST_PYTEST)/kernel_refused
	testbed/run --cpus 2 --timeout 300 --append isolcpus=1 -- $(GUEST_PYTEST)/kernel_isolated

.PHONY: kernel-timed
kernel-timed: build
	testbed/run --cpus 4 --timeout 1500 --clock virtual -- $(GUEST_PYTEST)/kernel_timed

.PHONY: kernel-quota-short
kernel-quota-short: build
	testbed/run --cpus 4 --timeout 1500 --clock virtual -- $(PYTEST_THERE) \
	  $(addprefix /opt/temper/tests/kernel_quota/,$(QUOTA_SHORT))

.PHONY: kernel-quota
kernel-quota: build ## every kernel test of cpu.max: hundreds of throttled tasks, windows, bursts, custody (twenty minutes)
	testbed/run --cpus 4 --timeout 1500 --clock virtual -- $(GUEST_PYTEST)/kernel_quota

.PHONY: kernel-faults
kernel-faults: build
	testbed/run --cpus 4 --timeout 2400 --clock virtual -- $(GUEST_PYTEST)/kernel_faults

.PHONY: kernel-smt
kernel-smt: build
	testbed/run --topology 2,2,2 --timeout 600 --clock virtual -- $(GUEST_PYTEST)/kernel_smt

.PHONY: kernel-matrix
kernel-matrix: build ## a short pass on the other kernels that Debian offers
	$(call ON_KERNEL,6.19)
	$(call ON_KERNEL,7.0)

.PHONY: kernel-abuse
kernel-abuse: build ## ten minutes of stress-ng's scheduler stressors, on the wall clock
	testbed/run --cpus 4 --timeout 1500 -- env TEMPER_ABUSE_S=600 $(GUEST_PYTEST)/kernel_faults/test_abuse.py

.PHONY: kernel-scale
kernel-scale: build ## kernel tests in guests of unusual size: one cpu, 252 possible cpus, four caches
	testbed/run --cpus 1 --timeout 300 -- $(GUEST_PYTEST)/kernel_scale/test_one_cpu.py
	testbed/run --cpus 1 --timeout 600 --clock virtual -- $(GUEST_PYTEST)/kernel_scale/test_many_limits.py
	testbed/run --cpus 252 --append maxcpus=4 --memory 3G --timeout 600 --clock virtual -- $(GUEST_PYTEST)/kernel_scale/test_many_pods.py
	testbed/run --topology 4,2,1 --timeout 600 --clock virtual -- $(GUEST_PYTEST)/kernel_scale/test_many_caches.py

.PHONY: kernel-6.12
kernel-6.12: build ## the oldest kernel with sched_ext, built from source when it is not there (17 minutes), and a short pass on it
	$(call ON_KERNEL,6.12)

.PHONY: cluster
cluster: build ## cluster tests: a real API server here, the agent in a guest
	testbed/cluster -- $(BIN)/python -m pytest -p no:cacheprovider tests/cluster

.PHONY: test
test: lint unit kernel cluster ## everything CI runs

.PHONY: demo
demo: build ## stock against Temper, on a real kernel, with real memcached
	$(BIN)/python bench/demo/run
