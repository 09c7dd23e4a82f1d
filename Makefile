# `make help` lists the targets. Everything is installed into .venv; nothing outside the tree is touched.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= $(shell command -v python3.11 || command -v python3)
PIP := .venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: help demo test check bench proto sdk-cpp

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .venv/.server ## serve Earth, fly over the Alps, leave pictures in out/demo (installs no torch)
	.venv/bin/terraloom demo

test: .venv/.dev tests/node_modules ## run all tests against real servers and the shipped weights
	.venv/bin/python -m pytest $(PYTEST_ARGS)

check: .venv/.dev ## lint, formatting, types
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

bench: .venv/.dev ## measure this machine; writes benchmarks/results/<machine>.json
	.venv/bin/python -m benchmarks

proto: .venv/.dev ## regenerate sdk/python/terraloom/v1 from proto/
	.venv/bin/python proto/generate.py sdk/python

sdk-cpp: ## build the C++ reader in build/cpp (needs cmake, protoc with its gRPC plugin, grpc++)
	cmake -S sdk/cpp -B build/cpp
	cmake --build build/cpp --parallel

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.server: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) -e '.[server]'
	@touch $@

.venv/.dev: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) -e '.[server,sims,dev]'
	@touch $@ .venv/.server

# The Khronos glTF validator; its tests are skipped, and say so, where there is no npm.
tests/node_modules: tests/package-lock.json
	@if command -v npm >/dev/null; then cd tests && npm ci --no-audit --no-fund --loglevel=error && touch node_modules; \
	else echo "npm not found: the glTF validator's tests will be skipped"; fi
