# `make help` lists the targets. Everything is installed into .venv; nothing outside the tree is touched.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= $(shell command -v python3.11 || command -v python3)
# Where the training data lies and how long each network is trained: `make train DATA=FOLDER MINUTES=120`.
DATA ?= ../shared/data
MINUTES ?= 120
PIP := .venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: help demo test test-browser check bench bench-gpu train realism proto viewer browser sdk-cpp docs

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .venv/.server ## serve Earth, fly over the Alps, leave pictures in out/demo (installs no torch)
	.venv/bin/terraloom demo

test: .venv/.dev tests/node_modules browser ## run all tests against real servers and the shipped weights, browsers among them
	.venv/bin/python -m pytest -n 2 $(PYTEST_ARGS)

test-browser: .venv/.dev browser ## run the browser tests with larger pictures, finer ground and a longer flight
	TERRALOOM_BROWSER=long .venv/bin/python -m pytest tests/test_browser.py $(PYTEST_ARGS)

check: .venv/.dev ## lint, formatting, types
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

bench: .venv/.dev ## measure this machine; writes benchmarks/results/<machine>.json
	.venv/bin/python -m benchmarks

bench-gpu: .venv/.dev ## compare and time every runtime that works here; writes benchmarks/results/<machine>-runtimes.json
	.venv/bin/python -m benchmarks.runtimes

train: .venv/.train ## train both networks on DATA for MINUTES each (resumable; CPU or one GPU) and write the bundle
	.venv/bin/python -m terraloom_engines.training.train geometry --data $(DATA) --minutes $(MINUTES)
	.venv/bin/python -m terraloom_engines.training.train imagery --data $(DATA) --minutes $(MINUTES)
	.venv/bin/python -m terraloom_engines.training.export

realism: .venv/.train .venv/.dev ## generated land, colour and the whole chain beside real land, from the packs in DATA; writes benchmarks/results and docs/gallery
	.venv/bin/python -m benchmarks.realism --all --data $(DATA) --pictures docs/gallery

proto: .venv/.dev ## regenerate sdk/python/terraloom/v1 from proto/
	.venv/bin/python proto/generate.py sdk/python

viewer: engines/terraloom_engines/http/viewer/index.html ## build the pages at / and /map (needs Node 20.19 or later)

docs: .venv/.docs ## build the documentation into build/site and check its links
	.venv/bin/zensical build --clean --strict
	.venv/bin/python docs/links.py build/site

sdk-cpp: ## build the C++ reader in build/cpp (needs cmake, protoc with its gRPC plugin, grpc++)
	cmake -S sdk/cpp -B build/cpp
	cmake --build build/cpp --parallel

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.server: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) -e '.[server]'
	@touch $@

.venv/.train: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) -e '.[server,train]'
	@touch $@

.venv/.dev: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) -e '.[server,openvino,sims,raster,bench,dev]'
	@touch $@ .venv/.server

.venv/.paper: pyproject.toml constraints.txt | .venv/.train
	$(PIP) -e '.[paper]'
	@touch $@

.venv/.rtx: pyproject.toml constraints.txt | .venv/.server
	$(PIP) -e '.[rtx]'
	@touch $@

.venv/.docs: pyproject.toml constraints.txt | .venv/.server
	$(PIP) -e '.[docs]'
	@touch $@

# The Khronos glTF validator; its tests are skipped, and say so, where there is no npm.
tests/node_modules: tests/package-lock.json
	@if command -v npm >/dev/null; then cd tests && npm ci --no-audit --no-fund --loglevel=error && touch node_modules; \
	else echo "npm not found: the glTF validator's tests will be skipped"; fi

engines/terraloom_engines/http/viewer/index.html: sdk/web/node_modules $(wildcard sdk/web/*.* sdk/web/src/* sdk/web/src/*/*)
	cd sdk/web && npm run build --silent

sdk/web/node_modules: sdk/web/package-lock.json
	cd sdk/web && npm ci --no-audit --no-fund --loglevel=error && touch node_modules

# What the browser tests need: the built pages, playwright-core, CesiumJS and Chromium. Never fails: what is missing is said, and its
# tests are skipped.
browser:
	@bash tests/browser/install.sh
