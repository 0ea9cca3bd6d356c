# Verbs for people; every tool comes from .venv, which the stamp rule makes from hash-pinned requirements.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.stamp
SOURCES := system loadgen verifiers bench reports tests

.DEFAULT_GOAL := bench
.PHONY: bench smoke test soak check fmt lock clean

bench: $(STAMP)
	@$(BIN)/choreobench bench --profile standard

smoke: $(STAMP)
	@$(BIN)/choreobench bench --profile smoke

test: check
	@$(BIN)/python -m pytest

# Not part of `test`: ten minutes of flat memory, and the kernel under AddressSanitizer.
soak: $(STAMP)
	@$(BIN)/python -m tests.soak.sanitizer
	@$(BIN)/python -m tests.soak.flat_memory

check: $(STAMP)
	@$(BIN)/ruff format --check $(SOURCES) && $(BIN)/ruff check $(SOURCES)
	@$(BIN)/mypy && $(BIN)/lint-imports

fmt: $(STAMP)
	@$(BIN)/ruff format $(SOURCES) && $(BIN)/ruff check --fix $(SOURCES)

# New versions of everything that is pinned, then their hashes: pages to review before they are committed.
lock: $(STAMP)
	@cd requirements && CUSTOM_COMPILE_COMMAND="make lock" ../$(BIN)/pip-compile --upgrade --quiet --generate-hashes --strip-extras --allow-unsafe --no-emit-find-links --no-emit-index-url --no-emit-trusted-host --output-file locked.txt choreobench.in develop.in
	@cd bench/cluster && ../../$(BIN)/jgo --ignore-config --resolver python --class-path-only --file jgo.toml lock

clean:
	@rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .benchmarks .import_linter_cache
	@find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): requirements/locked.txt requirements/install pyproject.toml setup.py $(wildcard system/kafka/kernel*.[ch])
	@PYTHON="$(PYTHON)" requirements/install
