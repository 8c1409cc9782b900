# Two commands for everyone:   make run   and   make test.   `make check` is for every save.
.DEFAULT_GOAL := help
PYTHON ?= python3
PROMPT ?= Why is the sky blue?
MODEL  ?= smollm2:135m
VENV   := .venv
BIN    := $(VENV)/bin

# One stamp per set-up, renewed when what it was made from changes: repeating a command needs no network.
USER_STAMP := $(VENV)/installed-user
DEV_STAMP  := $(VENV)/installed-dev
HARNESS := $(VENV)/harness
NATIVE := CMakeLists.txt $(wildcard src/fathom/ops/kernels/*.?pp)

.PHONY: help run test check fast format support sanitize arm bench clean

help:  ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(USER_STAMP): pyproject.toml constraints.txt $(NATIVE) | $(BIN)/python
	PIP_CONSTRAINT=constraints.txt $(BIN)/pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(DEV_STAMP): pyproject.toml constraints.txt $(NATIVE) | $(BIN)/python
	PIP_CONSTRAINT=constraints.txt $(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ $(USER_STAMP)

run: $(USER_STAMP)  ## set up, fetch the starter model and answer PROMPT
	@$(BIN)/fathom run $(MODEL) "$(PROMPT)"

check: $(DEV_STAMP)  ## format, lint, types, import contracts and the fast tests: seconds
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -q -n 2 --dist worksteal -m "not slow"

# The evaluation harness, in a folder of its own: what it brings is not there for other tests.
$(HARNESS)/installed: tests/serving/shapes/harness.txt | $(DEV_STAMP)
	rm -rf $(HARNESS)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-compile --target $(HARNESS) -r $<
	@touch $@

test: $(DEV_STAMP) $(HARNESS)/installed  ## everything: what `check` runs, and the slow tests with real weights
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -q -n 2 --dist worksteal

format: $(DEV_STAMP)  ## rewrite the source in the one format
	$(BIN)/ruff format src tests benchmarks
	$(BIN)/ruff check --fix src tests benchmarks

support: $(DEV_STAMP)  ## prove every dialect again and rewrite docs/support.md
	$(BIN)/python tests/parity/support.py

sanitize: $(DEV_STAMP)  ## the tests of the native kernels, with addresses and undefined behaviour checked
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --upgrade --target build/sanitized . \
		--config-settings cmake.define.FATHOM_SANITIZE=ON --config-settings build-dir=build/sanitize
	FATHOM_NATIVE=$$(ls build/sanitized/fathom/ops/kernels/_native.*.so) ASAN_OPTIONS=detect_leaks=0 \
		LD_PRELOAD="$$($(CXX) -print-file-name=libasan.so) $$($(CXX) -print-file-name=libubsan.so)" \
		$(BIN)/python -m pytest -q tests/ops/kernels

arm: $(DEV_STAMP)  ## the kernels for ARM processors, cross-compiled and run by an emulator
	@for each in aarch64-linux-gnu-g++ qemu-aarch64-static cmake; do command -v $$each > /dev/null || { \
		echo "make arm needs $$each: apt-get install g++-aarch64-linux-gnu qemu-user-static cmake"; exit 1; }; done
	$(BIN)/pytest -q tests/ops/kernels/test_arm.py

bench: $(DEV_STAMP)  ## how fast models run beside peers: measures every part and writes docs/performance.md
	CMAKE_ARGS=-DGGML_NATIVE=ON PIP_CONSTRAINT=constraints.txt $(BIN)/pip install --quiet \
		--disable-pip-version-check --no-binary llama-cpp-python --editable '.[bench]'
	$(BIN)/python benchmarks/cpu.py all

clean:  ## forget the set-up
	rm -rf $(VENV) build dist
