# Everything sets itself up: all that is needed is Python 3.11 or newer and the package registries.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help install demo up test unit soak k8s-test image-test check format docs bench lock clean

help:  ## show this
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(VENV)/.installed  ## set up the virtual environment

$(VENV)/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is %d.%d: make PYTHON=python3.12 ..." % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (about a minute, once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: install  ## both ways, orphans, crashes and the proof, on this machine
	@$(BIN)/syncline demo

up: install  ## keep the whole system running, to play with
	@$(BIN)/syncline up

test: install  ## every test, on a real Kafka and a real PostgreSQL
	$(BIN)/python -m pytest -m "not soak" --durations=20

unit: install  ## the tests that need nothing running
	$(BIN)/python -m pytest tests/unit

soak: install  ## the long runs
	$(BIN)/python -m pytest -m soak

k8s-test: install  ## the manifests, on a real API server; its first build takes some minutes
	$(BIN)/python -m pytest tests/k8s

image-test: install  ## build the image and run it; needs buildah, runc and debootstrap, as root
	$(BIN)/python -m pytest tests/image

check: install  ## lint, format, types, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install  ## put the code into form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: install  ## write docs/contracts.md and the schema of pipelines.yaml from the code
	$(BIN)/python -m syncline.contracts.pages > docs/contracts.md
	$(BIN)/python -m syncline.config.schema > syncline/config/pipelines.schema.json

bench: install  ## records a second, as ratios to the mapper's peers and to a bare loop
	$(BIN)/python -m benchmarks

lock:  ## renew the lock files from pyproject.toml
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --extra local --extra parquet --group dev --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-header -o requirements.lock
	$(BIN)/uv pip compile --group bench --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-header -o requirements-bench.lock
	$(BIN)/uv pip compile pyproject.toml --group image --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-header -c requirements.lock -o deploy/docker/image.lock
	$(BIN)/uv pip compile --group build --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-header -c requirements.lock -o deploy/docker/build.lock

clean:  ## remove the virtual environment, caches and local data
	rm -rf $(VENV) .local .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
