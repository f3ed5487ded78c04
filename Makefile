# make demo   set up, segment a real patient, print the page
# make test   install, run the tests but the longest
# make test-all  the longest tests too, as the continuous integration does
# make test-shapes  the tests once more, with the types and shapes of every call checked
# make test-shapes-core  the same for the packages that compute, as the continuous integration does
# make coverage  branch coverage of what every result passes through, at least 95 %
# make soak   what takes minutes: runs that are killed again and again, the service under load
# make check  style, types, architecture
# make faults inputs that go wrong elsewhere, by kind: tried, right in 0.1.0 and right now
# make bench  speed, memory and accuracy; DATA=folder for the parts that need open data
# make page   build the page of insula serve again (node and npm; the built page is part of the repository)
# make docs   the documentation as HTML in docs/_build
# make sbom   what is installed in VENV, as CycloneDX, in dist/insula.cdx.json
# make hashes requirements-hashed.txt again, after a change of constraints.txt
# Nothing here needs a GPU, or the network once it is installed.

PYTHON ?= python3
VENV   ?= .venv
DATA   ?=
RESULTS := studies/results
BIN    := $(VENV)/bin
AUDIT  := .venv-audit
COVERED := io metrics checkpoint geometry
SHAPED := geometry io metrics prepare postprocess models nn losses infer
PIP     = $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test test-all test-shapes test-shapes-core coverage faults soak check bench bench-heldout page docs sbom hashes clean
.DELETE_ON_ERROR:

demo: $(VENV)/.demo
	$(BIN)/insula demo

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2 -m "not soak and not long"

test-all: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2

test-shapes: $(VENV)/.dev
	CHECK_SHAPES=1 $(BIN)/python -m pytest -n 2 -m "not soak and not long"

test-shapes-core: $(VENV)/.dev
	CHECK_SHAPES=1 $(BIN)/python -m pytest -n 2 -m "not soak and not long" $(SHAPED:%=tests/%)

coverage: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2 -m "not soak and not long" $(COVERED:%=tests/%) tests/corpus \
		$(COVERED:%=--cov=src/insula/%) --cov-branch --cov-report= --cov-fail-under=95
	for package in $(COVERED); do \
		$(BIN)/coverage report --include="src/insula/$$package/*" --show-missing --skip-covered --fail-under=95 || exit 1; \
	done

soak: $(VENV)/.dev
	$(BIN)/python -m pytest -m soak
	$(BIN)/python -m studies.load --clients 50 --minutes 10

faults: $(VENV)/.dev
	$(BIN)/python -m studies.faults

check: $(VENV)/.dev
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.bench
	$(BIN)/python -m studies.speed
	$(if $(DATA),$(MAKE) bench-heldout,@echo "the bundled weights' scores need open data: make bench DATA=folder")

# simulated heads whose hosts and lesion outlines were never trained on, through the commands that a user has
bench-heldout: $(VENV)/.bench
	$(BIN)/insula cohort simulate --data $(DATA) --part test --cases 60 --sites 4 --controls 0.1 --seed 12 --out $(RESULTS)/heldout
	$(BIN)/insula segment $(RESULTS)/heldout --out $(RESULTS)/bundled
	$(BIN)/insula evaluate $(RESULTS)/heldout $(RESULTS)/bundled --out $(RESULTS)/evaluation
	$(BIN)/insula cohort prepare $(RESULTS)/heldout --out $(RESULTS)/store
	$(BIN)/python -m studies.store $(RESULTS)/store

page:
	cd web && npm ci --no-audit --no-fund && npm run build

docs: $(VENV)/.docs
	$(BIN)/sphinx-build -q -W --keep-going docs docs/_build
	@echo docs/_build/index.html

sbom: $(AUDIT)/.made
	@mkdir -p dist
	$(AUDIT)/bin/cyclonedx-py environment --output-reproducible --pyproject pyproject.toml \
		--output-format JSON --output-file dist/insula.cdx.json $(BIN)/python
	@echo dist/insula.cdx.json

hashes: $(AUDIT)/.made
	{ grep '^#' requirements-hashed.txt; echo hatchling | $(AUDIT)/bin/uv pip compile pyproject.toml - --extra demo --extra dicom --extra serve \
		--constraint constraints.txt --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --quiet; } \
		> requirements-hashed.new
	mv requirements-hashed.new requirements-hashed.txt

# each stamp is an install; a change of the requirements makes it stale
$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit("insula needs python 3.11 or newer; try: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.demo: $(VENV)/.python pyproject.toml constraints.txt
	@echo "installing into $(VENV) (a few minutes the first time) ..."
	$(PIP) --editable '.[demo,dicom,serve]'
	@touch $@

$(VENV)/.dev: $(VENV)/.python pyproject.toml constraints.txt
	@echo "installing into $(VENV) (a few minutes the first time) ..."
	$(PIP) --editable '.[demo,dicom,serve,export,dev]'
	$(PIP) --no-deps panoptica
	@touch $@

$(VENV)/.bench: $(VENV)/.python pyproject.toml constraints.txt
	$(PIP) --editable '.[demo,bench,export]'
	@touch $@

$(VENV)/.docs: $(VENV)/.python pyproject.toml constraints.txt
	$(PIP) --editable '.[docs]'
	@touch $@

# in an environment of its own, so that what it needs is not among what it lists
$(AUDIT)/.made:
	$(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/bin/python -m pip install --quiet --disable-pip-version-check cyclonedx-bom==7.5.0 uv==0.13.9
	@touch $@

clean:
	rm -rf $(VENV) $(AUDIT) build dist docs/_build insula-demo
