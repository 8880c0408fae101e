# What one does here, with the tools of the active environment (CONTRIBUTING.md): make check test
PYTHON ?= python

.PHONY: help check test docs bench
help:  ## list the tasks
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile
check:  ## types, imports between rooms, lint, format
	$(PYTHON) -m mypy
	lint-imports
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
test:  ## the whole suite
	$(PYTHON) -m pytest -n auto
docs:  ## the site, in site/
	$(PYTHON) -m mkdocs build --strict
bench:  ## speed, memory and scale, as far as they need no data of others (some minutes)
	$(PYTHON) benchmarks/cache.py
	$(PYTHON) benchmarks/scale.py
