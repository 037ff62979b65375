# make book   the book: _build/html/index.html, every chapter executed on this machine
# make unit   the package's tests: under three minutes
# make test   those, a share of the soak, the benchmarks in small, every notebook twice over, the
#             exercises, and the built book in a browser
# make soak   kills, broken inputs and failing disks: a quarter of an hour
# make audit  known holes in the versions of constraints.txt; fails where nobody can be asked
# make sbom   what a release is made of: work/sbom.json
# make bench  how fast it is, against what one would use instead (five minutes)
# make lint   style, types and spelling
# make sync   notebooks/*.ipynb from notebooks/*.py, the editions, README's results
# make lab    JupyterLab on the chapters
# make offline  the book as a zip that opens without a network, and as an EPUB: work/offline
# make handout  a course for nbgrader: work/handout
# make codecheck  every number that is taken from the records, made again and compared
# make colab  both editions on the versions of Google Colab (constraints-colab.txt)
#
# With the real data and a GPU: make book ALLM_PROFILE=full ALLM_DATA=/path/to/C-NMC

SHELL := /bin/bash
.SHELLFLAGS := -eo pipefail -c
.DELETE_ON_ERROR:
.PHONY: book unit test soak audit sbom bench lint sync lab offline handout codecheck colab clean

PYTHON ?= python3
EXTRAS ?= book,test
VERSIONS ?= constraints.txt
BIN := .venv/bin
# What is imported is compiled then; the rest of 20,000 files need not be.
PIP := install --quiet --disable-pip-version-check --no-compile
LATER := soak test_benchmarks.py

export ALLM_PROFILE ?= smoke
export ALLM_WORK ?= $(CURDIR)/work
export TF_CPP_MIN_LOG_LEVEL ?= 3
export PYDEVD_DISABLE_FILE_VALIDATION := 1
export PYTHONHASHSEED := 0

.venv/.ready: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip $(PIP) -c $(VERSIONS) -e '.[$(EXTRAS)]'
	@# imaug asks for both packages of OpenCV, which write into one folder: the headless one serves
	@$(BIN)/python -m pip uninstall --quiet --yes opencv-python
	@$(BIN)/python -m pip $(PIP) -c $(VERSIONS) --no-deps --force-reinstall opencv-python-headless
	@touch $@

# jupyter-cache looks at the code cells only. Here the cache also ends when the package, the records,
# the versions or the profile change; and a failed build leaves no pages behind, because a second
# one would skip the pages that it has and so turn green.
book: .venv/.ready
	@key=$$( { find allm_utils results benchmarks/results constraints.txt _config.yml book/_ext -type f ! -name '*.pyc' \
	    -exec cksum {} + | LC_ALL=C sort; \
	  echo "$$ALLM_PROFILE $$ALLM_DATA $$ALLM_WEIGHTS $$KERAS_BACKEND"; } | cksum); \
	  mkdir -p _build; \
	  test "$$key" = "$$(cat _build/.key 2>/dev/null)" || rm -rf _build/.jupyter_cache _build/.doctrees _build/html; \
	  echo "$$key" > _build/.key
	@$(BIN)/jupyter-book build . --quiet -W -n --keep-going || { rm -rf _build/.doctrees _build/html; exit 1; }
	@$(BIN)/python book/handouts.py slides _build/jupyter_execute/notebooks _build/html
	@echo "The book is ready: open $(CURDIR)/_build/html/index.html"

unit: .venv/.ready
	$(BIN)/python -m pytest tests $(foreach apart,book notebooks $(LATER),--ignore=tests/$(apart)) -n 2 --dist loadfile --no-loadscope-reorder

# nbmake fills a copy of each notebook, and the book under test is built from these copies; only the
# pages of book/ are executed then.
test: unit
	$(BIN)/python -m pytest $(addprefix tests/,$(LATER)) -n 2 --dist loadfile --no-loadscope-reorder
	rm -rf work/executed
	mkdir -p work/executed
	cp -r notebooks book editions/student _config.yml _toc.yml work/executed
	PYTHONPATH=tests/notebooks $(BIN)/python -m pytest -p twice --nbmake --overwrite --nbmake-timeout=600 \
	    -n 2 work/executed/notebooks work/executed/student/00_first_look.ipynb
	ALLM_REQUIRE=executed $(BIN)/python -m pytest tests/notebooks
	$(BIN)/jupyter-book config sphinx work/executed
	printf '%s\n' "nb_execution_mode = 'force'" "nb_execution_excludepatterns = ['notebooks/*']" >> work/executed/conf.py
	PYTHONPATH=book/_ext $(BIN)/sphinx-build -q -W -n --keep-going work/executed work/executed/_build/html
	$(BIN)/python book/handouts.py slides work/executed/notebooks work/executed/_build/html
	ALLM_REQUIRE=book,$$ALLM_REQUIRE $(BIN)/python -m pytest tests/book -n 2 --dist loadgroup

# The book as a zip that opens without a network, and its prose as an EPUB.
offline: book
	$(BIN)/jupyter-book build . --quiet --builder custom --custom-builder epub
	rm -rf work/offline && mkdir -p work/offline
	ln -sfn html _build/allm-book
	cd _build && ../$(BIN)/python -m zipfile -c ../work/offline/allm-book.zip allm-book
	cp _build/epub/*.epub work/offline/allm-book.epub

handout: .venv/.ready
	$(BIN)/python book/handouts.py handout work/handout

soak: .venv/.ready
	ALLM_SOAK=1 $(BIN)/python -m pytest tests/soak -n 2

audit sbom: .venv-tools
	mkdir -p work
	$($@)

audit = .venv-tools/bin/pip-audit --strict --no-deps --disable-pip -r constraints.txt
sbom = .venv-tools/bin/cyclonedx-py requirements constraints.txt --pyproject pyproject.toml -o work/sbom.json

.venv-tools:
	$(PYTHON) -m venv $@
	$@/bin/python -m pip $(PIP) pip-audit==2.10.1 cyclonedx-bom==7.5.0

codecheck: .venv/.ready
	$(BIN)/python book/codecheck.py work/codecheck

bench: .venv/.ready
	$(BIN)/python -m benchmarks

lint: .venv/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/codespell

sync: .venv/.ready
	$(BIN)/python book/sync.py

lab: .venv/.ready
	$(BIN)/jupyter lab notebooks

# Installed as on Colab: its own versions first, then what the editions' first cell adds.
colab:
	rm -rf .venv-colab work/colab
	$(PYTHON) -m venv .venv-colab
	.venv-colab/bin/python -m pip $(PIP) -r constraints-colab.txt
	.venv-colab/bin/python -m pip $(PIP) --no-deps . $$(grep -hoE '[A-Za-z0-9.-]+==[0-9.]+' editions/student/*.ipynb | sort -u)
	mkdir -p work/colab
	cp -r editions/student editions/instructor work/colab
	.venv-colab/bin/python -m pytest --nbmake --nbmake-timeout=600 -c /dev/null --rootdir . work/colab

clean:
	rm -rf _build work/executed work/colab work/offline work/handout .venv-tools
