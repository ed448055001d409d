# Each target sets up what it needs; all it asks of the machine is Python 3.11 or newer (with venv), make and git.
#
#   make test PYTHON=python3.13                     another interpreter, in the same environment, which is made anew
#   make test PYTHON=python3.13 VENV=.venv-3.13     another interpreter, in an environment beside the first
#   make test ARGS='-k serve -x'                    arguments for pytest
#   make report ARGS='02 --output there'            arguments for requestlab report
#   make report ARGS=--full                         measures as long as the lessons say, not a quarter of it

PYTHON ?= python3
VENV ?= .venv
ARGS ?=

BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check --no-input -qq

# Written last, so a set-up that was interrupted has none. It holds the place of the checkout, which the scripts in
# $(BIN) hold too: an environment that was moved or copied is made anew.
READY = $(VENV)/.ready
SOUND = test -x $(BIN)/python && test "$$(cat $(READY) 2>/dev/null)" = "$(CURDIR)"

# A PYTHON that the user names wins over the one the environment was made with; the default does not, so that
# `make lab` goes on with what `make test PYTHON=python3.13` made. The tag tells 3.13 from 3.14 and from 3.13t.
ifneq ($(origin PYTHON),file)
TAG = -c 'import sysconfig; print(sysconfig.get_config_var("SOABI"))' 2>/dev/null
SOUND += && test "$$($(BIN)/python $(TAG))" = "$$($(PYTHON) $(TAG))"
endif

# What measures wants the machine for itself, also under make -j.
.NOTPARALLEL:

ANEW := $(shell $(SOUND) || echo yes)

PORTABLE = tests/test_faults.py tests/test_random_faults.py tests/test_left_behind.py tests/test_serving.py \
    tests/test_measuring.py tests/notebooks/test_notebooks.py \
    -k 'not test_notebooks or (judges_its_claims and (00- or 01- or 02- or 07-))'

# Where ARGS choose no test of a kind, pytest exits with 5.
pytest = $(BIN)/python -m pytest --durations=25 $(1) $(ARGS) || test $$? -eq 5
BESIDE_EACH_OTHER = -n $$(($$(getconf _NPROCESSORS_ONLN) + 1)) --maxprocesses 4 --dist loadgroup -m 'not measuring'

.PHONY: help .venv lab ready test tests test-fast test-measuring test-all test-examples test-projects test-lessons test-faults test-wall test-labs stress coverage test-portable test-browser lint bench reports report figures site lock clean ANEW

help: ## this list
	@sed -n 's/^\([.a-z-]*\):.*## \(.*\)/make \1	\2/p' Makefile | expand -t 20

.venv: $(READY) ## the Python environment (in VENV), with everything installed

lab: $(READY) ## JupyterLab on the notebooks
	@$(BIN)/requestlab lab

ready: $(READY) ## the day before a workshop: fetches everything, looks at this machine for half a minute, prints a line to show
	@$(BIN)/requestlab doctor --line

test: lint tests ## lint, then the tests

tests: test-fast test-measuring ## the tests: first, two or more at a time, those that measure nothing; then, one by one, those that do

test-fast: $(READY) ## the tests that measure nothing: for a look while one works
	@$(call pytest,$(BESIDE_EACH_OTHER))

test-measuring: $(READY) ## the tests that measure
	@$(call pytest,-m measuring)

test-all: $(READY) ## all tests with all their cases, also those that the others leave out to be quick
	@REQUESTLAB_ALL_CASES=1 $(MAKE) --no-print-directory tests

lint: $(READY) ## style, format and types
	@$(BIN)/ruff check lib labapp tests docs
	@$(BIN)/ruff format --check lib labapp tests docs
	@$(BIN)/mypy

test-examples: $(READY) ## all examples, each for a moment; make test runs a few of them
	@REQUESTLAB_ALL_EXAMPLES=1 $(call pytest,tests/test_examples.py)

test-projects: $(READY) ## advice on three published projects, which it installs, and on each planted fault
	@REQUESTLAB_ALL_PROJECTS=1 $(call pytest,tests/test_real_projects.py tests/test_advice.py)

test-lessons: $(READY) ## each lesson, what it says and what it answers, on a machine made noisy on purpose
	@REQUESTLAB_ALL_LESSONS=1 $(call pytest,tests/notebooks)

COUNT ?= 300
test-faults: $(READY) ## COUNT random faults over what lessons do; SEED=2 for others
	@REQUESTLAB_FAULTS=$(COUNT) REQUESTLAB_SEED=$(or $(SEED),1) $(call pytest,tests/test_random_faults.py)

LEARNERS ?= 30
test-wall: $(READY) ## a wall in Chromium, in a room of LEARNERS whose machines differ in speed; SHOTS=there keeps pictures
	@REQUESTLAB_LEARNERS=$(LEARNERS) REQUESTLAB_SCREENSHOTS=$(abspath $(SHOTS)) $(call pytest,tests/browser/test_wall_page.py)

LABS ?= 20
test-labs: $(READY) ## LABS labs at once on this machine, each measuring
	@REQUESTLAB_LABS=$(LABS) $(call pytest,tests/test_many_labs.py)

MINUTES ?= 60
stress: $(READY) ## looks for wakeups that are lost, for so many MINUTES
	@$(BIN)/python -m tests.stress.lost_wakeups $(MINUTES)

test-portable: $(READY) ## what a Unix that is no Linux has to do: the tests of faults, serving and measuring, and four lessons
	@REQUESTLAB_PORTABLE=1 PYTHONPATH=tests/portable REQUESTLAB_ALL_LESSONS=1 \
	    $(call pytest,$(BESIDE_EACH_OTHER) $(PORTABLE))

COVERED = $(patsubst %,tests/test_%.py,addresses advice beside cli clients configurations connection database exhausted \
    experiments faults freezing hey interpreters kernel lag left_behind loads lying_servers measuring misbehaving more_servers \
    neighbours odd_values open_loop project proxy quiet serving spans spread transport upstream upstream_views worker_alone \
    worker_project)
COVERED_MEASURING = tests/test_spread.py
# Coverage needs SQLite, which one test does not want to find.
COVER = $(BIN)/python -m coverage run -m pytest -q -p tests.covered -k 'not also_without_django' $(ARGS)
coverage: $(READY) ## which lines and branches of load/, serving/ and worker/ the tests reach, in all their processes
	@rm -rf build/coverage && mkdir -p build/coverage
	@$(COVER) $(BESIDE_EACH_OTHER) $(COVERED) $(if $(COVERED_MEASURING),&& $(COVER) -m measuring $(COVERED_MEASURING)); tests=$$?; \
	    $(BIN)/python -m coverage combine -q && $(BIN)/python -m coverage report; exit $$tests

test-browser: $(READY) ## all lessons in a real Chromium, in both themes, at several widths; SHOTS=there keeps pictures
	@REQUESTLAB_ALL_IN_BROWSER=1 REQUESTLAB_SCREENSHOTS=$(abspath $(SHOTS)) $(call pytest,tests/browser)

bench: $(READY) ## what the lab itself costs
	@$(BIN)/python tests/benchmarks/run.py

REPORTS ?= 10
reports: $(READY) ## REPORTS quick reports in a row, each second one beside a burner: how many claims they decide, and do they agree?
	@$(BIN)/python -m tests.benchmarks.reports $(REPORTS)

report: $(READY) ## executes all lessons in quick mode (ARGS=--full: in full) and writes report/index.html
	@$(BIN)/requestlab report $(ARGS)

figures: $(READY) ## the same, and takes the figures of the README from it
	@$(BIN)/requestlab report --figures docs $(ARGS)

site: $(READY) ## a static site in build/site/html: lessons as executed, their report, the reference, the pages of docs/
	@$(PIP) install 'requestlab[site]'
	@$(BIN)/python docs/site/build.py
	@REQUESTLAB_SITE=build/site/html REQUESTLAB_SCREENSHOTS=$(abspath $(SHOTS)) $(BIN)/python -m pytest -q tests/browser/test_site.py

lock: $(READY) ## requirements.lock from pyproject.toml; keeps what is pinned, unless UPGRADE=--upgrade
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --extra dev --annotation-style line \
	    --no-emit-index-url --no-emit-find-links --generate-hashes --custom-compile-command 'make lock' $(UPGRADE) \
	    --output-file requirements.lock pyproject.toml

clean: ## remove what make and the tools made; saved runs stay
	@test ! -e $(VENV)/pyvenv.cfg || rm -rf $(VENV)
	@rm -rf build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@find lib labapp tests -name __pycache__ -prune -exec rm -rf {} +

ifeq ($(ANEW),yes)
$(READY): ANEW
endif

# pip may be stopped between two packages, or inside one: then the stamp goes, and the next call starts afresh.
$(READY): requirements.lock pyproject.toml
	@trap 'rm -f $@; exit 130' HUP INT TERM; set -e; \
	say() { printf '%s\n' "$$*" >&2; }; \
	if test -n "$(ANEW)"; then \
	    version=$$($(PYTHON) -c 'import platform; print("Python " + platform.python_version())' 2>/dev/null) \
	        || { say "$(PYTHON) does not run; name a Python 3.11 or newer: make PYTHON=python3.13"; exit 1; }; \
	    $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	        || { say "requestlab needs Python 3.11 or newer and $(PYTHON) is $$version; name another: make PYTHON=python3.13"; exit 1; }; \
	    $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	        || { say "$(PYTHON) ($$version) lacks the venv module; install it (on Debian and Ubuntu: apt install python3-venv)"; exit 1; }; \
	    test -z "$$(ls -A $(VENV) 2>/dev/null)" || test -e $(VENV)/pyvenv.cfg \
	        || { say "$(VENV) is not a Python environment, so it is left alone; name another: make VENV=.venv"; exit 1; }; \
	    say "Making $(VENV) with $$version; this downloads packages and takes a minute or so, once."; \
	    rm -f $@; \
	    $(PYTHON) -m venv --clear --prompt requestlab $(VENV); \
	else \
	    say "Bringing $(VENV) up to date."; \
	fi; \
	$(PIP) install -r requirements.lock; \
	$(PIP) install --no-deps --no-build-isolation --editable .; \
	printf '%s\n' "$(CURDIR)" > $@
