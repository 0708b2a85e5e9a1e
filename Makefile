# Everything a developer does, by name. `make` alone lists the targets.
PYTHON ?= python3
VENV ?= .venv
BUILD ?= build
JOBS ?= 2

PY := $(VENV)/bin/python
BIN := $(VENV)/bin
VENV_BUILD := $(BUILD)/venv
export CMAKE_BUILD_PARALLEL_LEVEL ?= $(JOBS)
export PIP_DISABLE_PIP_VERSION_CHECK = 1

# Files whose change needs a new build of the extension. Folders count too: deleting a file changes
# its folder's date.
NATIVE := CMakeLists.txt $(shell find src cmake -not -name '.*' 2>/dev/null)
CPP_TESTS := $(shell find tests/cpp -not -name '.*' 2>/dev/null)
CPP_FILES = $(shell find src tests/cpp bench -name '*.[ch]pp' -o -name '*.cu' -o -name '*.cuh')

# Not empty when somebody removed the build folder: the installs below then run again.
IF_CLEANED := $(if $(wildcard $(VENV_BUILD)/CMakeCache.txt),,always)

# $(call verdict,name): runs the target _name and ends with one line that says how it went.
verdict = @if $(MAKE) --no-print-directory _$(1); then echo "make $(1): PASSED $(2)"; \
	else echo "make $(1): FAILED, see above"; exit 1; fi
# $(call install,extra,settings): editable install, built incrementally in $(VENV_BUILD).
install = $(PY) -m pip install --quiet --no-build-isolation \
	--config-settings=build-dir=$(VENV_BUILD) $(2) -e '.[$(1)]'

.PHONY: help
help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo _demo compare _compare test _test
demo: ## set up, then compare NTK and NNGP with baselines on real data (about a minute)
	$(call verdict,demo,(the table and the name of the picture are above))
_demo: $(VENV)/.demo
	$(BIN)/ntkfast demo

compare: ## set up, then measure what theory says of wide networks, as a page (about a minute)
	$(call verdict,compare,(the names of the page and of its record are above))
_compare: $(VENV)/.demo
	$(BIN)/ntkfast compare $(COMPARE_ARGS)

test: ## set up, then run all C++ and Python tests, with coverage
	$(call verdict,test,(C++ and Python tests))
_test: $(VENV)/.test
	$(BIN)/ctest --test-dir $(VENV_BUILD) --output-on-failure --no-tests=error
	$(PY) -m pytest --cov --cov-report=term

# PyTorch takes gigabytes and is wanted by few tests, which are skipped without it.
TORCH_TESTS := tests/test_empirical.py tests/test_foreign_arrays.py tests/test_docs.py \
	python/ntkfast/empirical
.PHONY: test-torch _test-torch
test-torch: ## set up with PyTorch, then run the tests that need it
	$(call verdict,test-torch,(Python tests with PyTorch))
_test-torch: $(VENV)/.torch
	$(PY) -m pytest $(TORCH_TESTS)

.PHONY: dev lint format typecheck
dev: $(VENV)/.test $(VENV)/.dev ## set up everything for development, with the pre-commit hooks
	$(BIN)/pre-commit install

lint: $(VENV)/.dev ## check style: ruff and clang-format
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/clang-format --dry-run -Werror $(CPP_FILES)

format: $(VENV)/.dev ## rewrite files in the project's style
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	$(BIN)/clang-format -i $(CPP_FILES)

typecheck: $(VENV)/.dev ## check the types: mypy --strict
	$(BIN)/mypy --strict python/ntkfast

.PHONY: sanitize coverage
sanitize: $(VENV)/.build ## C++ tests under the address and undefined-behaviour sanitizers
	$(BIN)/cmake --preset sanitize
	$(BIN)/cmake --build --preset sanitize
	$(BIN)/ctest --preset sanitize

coverage: $(VENV)/.test $(VENV)/.dev ## line coverage of the C++ and of the Python tests, also as HTML
	$(BIN)/cmake --preset coverage
	$(BIN)/cmake --build --preset coverage
	$(BIN)/ctest --preset coverage
	mkdir -p $(BUILD)/coverage/html
	$(BIN)/gcovr --filter src/cpp/ --gcov-ignore-parse-errors=negative_hits.warn --print-summary \
		--html-details $(BUILD)/coverage/html/index.html $(BUILD)/coverage
	$(PY) -m pytest --cov --cov-report=term --cov-report=html:$(BUILD)/coverage/python

.PHONY: bench cpp-bench
bench: $(VENV)/.demo cpp-bench ## benchmark against the other contenders (see bench/)
	env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE $(PY) bench/run.py $(BENCH_ARGS)

cpp-bench: $(VENV)/.build ## build the C++ benchmark: build/bench/bench/ntkfast_bench
	$(BIN)/cmake --preset bench
	$(BIN)/cmake --build --preset bench

.PHONY: wheel clean
wheel: $(VENV)/.dev ## build the wheel into dist/
	$(PY) -m build --wheel --outdir dist

clean: ## remove what was built, with the virtual environment
	rm -rf $(BUILD) $(VENV) .bench-env bench/.cache dist .coverage .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

# --- the virtual environment ---
$(VENV)/.created:
	$(PYTHON) -m venv $(VENV)
	@touch $@

# The build's own requirements, cmake and ninja included, so that a rebuild is incremental and needs
# no network.
$(VENV)/.build: $(VENV)/.created pyproject.toml tools/requirements.py
	$(PY) -m pip install --quiet $$($(PY) tools/requirements.py)
	@touch $@

$(VENV)/.demo: $(VENV)/.build $(NATIVE) $(IF_CLEANED)
	$(call install,demo,)
	@touch $@

$(VENV)/.test: $(VENV)/.build $(NATIVE) $(CPP_TESTS) $(IF_CLEANED)
	$(call install,test,--config-settings=cmake.define.NTKFAST_TESTS=ON)
	@touch $@

$(VENV)/.torch: $(VENV)/.test
	$(PY) -m pip install --quiet $$($(PY) tools/requirements.py torch)
	@touch $@

# The tools for checks: they need the requirements of the package, not the package.
$(VENV)/.dev: $(VENV)/.build
	$(PY) -m pip install --quiet $$($(PY) tools/requirements.py dev)
	@touch $@

.PHONY: always
always:
