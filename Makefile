# make demo    install the package here and run it on generated data with known truth
# make test    everything that must hold: notebooks in step with the package, notebooks run, tests
# make test-slow  the tests that take minutes: the full acceptance of the mixed model, the largest sizes
# make test-sequence  what needs PyTorch or memelite: the TFBS network, motif hits (installs the extra: 0.2 GB with a CPU build, else gigabytes)
# make stress  the faults of a batch (kills, full disk, signals) ten times in a row: 20 to 40 minutes
# make bench   our lasso against scikit-learn's, measured now on this machine
# make docs    the documentation site, in _docs/
# make edit    open the notebooks in JupyterLab; they are cleaned when saved, and git merges them cell by cell (in this repository only)
# make export  after editing notebooks: format, clean, export them to the package
# make check   the quick part of the tests: the rules of the house
# make clean   remove what the targets made (make distclean: the environment too)
#
# Needs Python 3.11 or newer, make and git. Everything else goes into .venv/. Another Python: make demo PYTHON=/path/to/python

NEW_ENOUGH = import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3 python3.12 python3.11 python3.13; do \
	if $$p -c '$(NEW_ENOUGH)' >/dev/null 2>&1; then echo $$p; break; fi; done)

VENV = .venv
BIN = $(VENV)/bin
METADATA = settings.ini setup.py pyproject.toml
# byte code is written when a module is first used: that saves 20 s of installing, and needs Python to be free to write it
INSTALL = $(BIN)/python -m pip install -qq --no-compile

export PIP_DISABLE_PIP_VERSION_CHECK = 1
export PYTHONDONTWRITEBYTECODE =

.PHONY: help demo test test-slow test-sequence check stress bench edit export docs clean distclean browser axe

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile

# --- the environment: one stamp file for each set of requirements

$(VENV)/made:
	@$(or $(PYTHON),false) -c '$(NEW_ENOUGH)' || { \
		echo "tfbpmodeling needs Python 3.11 or newer (found: $$($(or $(PYTHON),python3) --version 2>&1)). Install one, or name it: make demo PYTHON=/path/to/python3.12" >&2; exit 1; }
	@test -x $(BIN)/python || { echo "making $(VENV) with $$($(PYTHON) --version)"; $(PYTHON) -m venv $(VENV); } || { \
		rm -rf $(VENV); echo "$(PYTHON) cannot make an environment: it lacks the venv module (Debian, Ubuntu: apt install python3-venv)" >&2; exit 1; }
	@touch $@

$(VENV)/installed: $(VENV)/made $(METADATA)
	@echo "installing tfbpmodeling into $(VENV) (once, about a minute)"
	@$(INSTALL) -e .
	@touch $@

$(VENV)/installed-dev: $(VENV)/made $(METADATA)
	@echo "installing tfbpmodeling and what its tests need into $(VENV) (once, about a minute)"
	@$(INSTALL) -e '.[dev]'
	@touch $(VENV)/installed $@

$(VENV)/installed-edit: $(VENV)/installed-dev
	@$(INSTALL) -e '.[dev,edit]'
	@touch $@

$(VENV)/installed-docs: $(VENV)/installed-dev
	@$(INSTALL) -e '.[dev,docs]'
	@touch $@

$(VENV)/installed-bench: $(VENV)/installed
	@$(INSTALL) -e ".[bench]"
	@touch $@

# PyTorch in the version that the numbers of docs/sequence.md were measured with: pip takes a CPU build where it is told of one, else the default build
TORCH = torch==2.13.0
$(VENV)/installed-sequence: $(VENV)/installed-dev
	@echo "installing PyTorch and tangermeme into $(VENV) (once)"
	@$(INSTALL) '$(TORCH)' && $(INSTALL) -e '.[dev,sequence]'
	@touch $@

# --- what people ask for

demo: $(VENV)/installed
	$(BIN)/tfbpmodeling demo $(DEMO_OPTIONS)

test: export MPLBACKEND = Agg
# two tests run at a time: threads of their linear algebra would only wait for each other
test: export OPENBLAS_NUM_THREADS = 1
test: $(VENV)/installed-dev browser axe
	$(BIN)/python -m pytest tests/test_house.py -k 'in_step or are_clean'
	$(BIN)/nbdev_test --n_workers 2
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --ignore tests/sequence $(PYTEST_OPTIONS)

test-sequence: export MPLBACKEND = Agg
test-sequence: $(VENV)/installed-sequence
	$(BIN)/nbdev_test --path nbs/sequence --flags "motifs sequence" --n_workers 2
	$(BIN)/nbdev_test --path nbs/tutorials/06_motif_annotations.ipynb --flags sequence
	$(BIN)/python -m pytest -n 2 --dist loadfile tests/sequence $(PYTEST_OPTIONS)

test-slow: export MPLBACKEND = Agg
test-slow: $(VENV)/installed-dev
	$(BIN)/python -m pytest -m slow $(PYTEST_OPTIONS)

check: $(VENV)/installed-dev
	$(BIN)/python -m pytest tests/test_house.py

edit: $(VENV)/installed-edit
	@git config --local merge.nbdev-merge.name "notebooks, cell by cell"
	@git config --local merge.nbdev-merge.driver "$(BIN)/nbdev_merge %O %A %B %P"
	$(BIN)/jupyter lab --ContentsManager.pre_save_hook=nbdev.clean.clean_jupyter $(EDIT_OPTIONS) nbs

export: $(VENV)/installed-dev
	$(BIN)/ruff format -q nbs
	$(BIN)/nbdev_clean
	$(BIN)/nbdev_export
	$(BIN)/python docs/_make/parameters.py
	cp nbs/master/*.ipynb tfbpmodeling/notebooks/
	$(BIN)/python docs/_make/all.py

stress: export ROUNDS = 10
stress: $(VENV)/installed-dev
	$(BIN)/python -m pytest tests/test_batch.py -k 'fault or cluster'

bench: $(VENV)/installed-bench
	$(BIN)/python benchmarks/bench.py $(BENCH_OPTIONS)
	$(BIN)/python benchmarks/sequence.py $(BENCH_OPTIONS)

docs: $(VENV)/installed-docs axe
	PATH="$(CURDIR)/$(BIN):$$PATH" smalldocs render .
	PATH="$(CURDIR)/$(BIN):$$PATH" smalldocs check .
	$(BIN)/python docs/_make/look.py
	@echo "the site is in _docs/index.html"

# Some tests look at pages in a real browser. Without one they are skipped, and this says why.
browser:
	@if command -v chromium >/dev/null 2>&1 || command -v chromium-browser >/dev/null 2>&1 || command -v google-chrome >/dev/null 2>&1; then :; \
	elif [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then \
		echo "no chromium here, and only root can install it with apt: the tests of pages in a browser are skipped"; \
	else \
		echo "installing chromium for the tests of pages in a browser (once)"; \
		{ timeout 120 apt-get update -qq && DEBIAN_FRONTEND=noninteractive timeout 400 apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core; } \
			>$(VENV)/chromium.log 2>&1 </dev/null || { tail -n 3 $(VENV)/chromium.log; echo "chromium could not be installed: the tests of pages in a browser are skipped"; }; \
	fi

# In the browser, axe-core looks for what keeps people out: contrast, headings, names. Only its one file is used, so nothing else of that package is installed.
axe: $(VENV)/installed-dev
	@ls $(VENV)/axe/*/axe.min.js >/dev/null 2>&1 || $(BIN)/python -m pip install -qq --no-deps --target $(VENV)/axe axe-playwright-python==0.1.8 || \
		echo "axe-core could not be fetched: the tests of accessibility are skipped"

clean:
	rm -rf build dist _docs _proc _site methods example .quarto .pytest_cache .ruff_cache .hypothesis demo_results bench_results *.egg-info
	find nbs tfbpmodeling tests benchmarks docs -name __pycache__ -prune -exec rm -rf {} +
	find nbs -name .ipynb_checkpoints -prune -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV)
