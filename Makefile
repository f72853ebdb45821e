# Each target sets up what it needs in .venv on its first run; nothing is installed outside this folder.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/pip --quiet --disable-pip-version-check
TORCH  := 2.13.0
# The first whose interpreter goes with numpy 2.4. Not among constraints.txt: a CUDA torch insists on a version of its own.
TRITON := 3.9.0
UV     := 0.13.9

.PHONY: advisories attack bench clean demo deb fuzz lint lock run sbom scenarios test test-fast types
.DEFAULT_GOAL := test

# Nothing that is not on the list, and each file by its hash.
$(VENV)/.installed: pyproject.toml requirements/dev.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --no-deps --require-hashes -r requirements/dev.txt
	$(PIP) install --no-deps --no-build-isolation -e .
	touch $@

# What the Qwen3-TTS tests run on, apart from what everyone needs: a torch, and upstream's package without its demo's web
# interface and without torchaudio, whose wheel does not load beside a CPU torch (tests/support/qwen3/stand_ins says more).
# A CUDA torch brings a Triton of its own; beside a CPU torch one interprets the kernels, which tests them without a GPU.
# By version and not by hash: a machine without a GPU may have a torch of another index. The tests alone use it.
$(VENV)/.qwen3: $(VENV)/.installed constraints.txt
	$(PIP) install -c constraints.txt -e '.[demo,dev,qwen3]' torch==$(TORCH)
	$(PIP) install --no-deps qwen-tts==0.1.1
	$(BIN)/python -c 'import triton' 2>/dev/null || \
		$(PIP) install triton==$(TRITON) || echo 'no Triton for this machine'
	touch $@

demo: $(VENV)/.installed
	$(BIN)/talkspurt demo

scenarios: $(VENV)/.installed
	$(BIN)/talkspurt converse tests/scenarios --short --output .scenarios

run: $(VENV)/.installed
	$(BIN)/talkspurt serve

# Three processes: two for what plays in real time, which wait more than they compute, and one for the rest
# (tests/conftest.py, docs/testing.md). What fails beside the others is run once more by itself; what fails there too, fails.
test: $(VENV)/.qwen3
	$(BIN)/pytest -n 3 --dist loadgroup --ignore tests/attack --durations 25 --durations-min 2 || \
		{ [ $$? -eq 1 ] && $(BIN)/pytest --last-failed --last-failed-no-failures none --ignore tests/attack; }

# Each attack has a server and ten calls to itself, and both cores.
attack: $(VENV)/.qwen3
	$(BIN)/pytest tests/attack

test-fast: $(VENV)/.qwen3
	$(BIN)/pytest -n 2 --dist loadscope -m 'not realtime and not slow'

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/python packaging/audit.py

# What is known to be wrong with the packages in requirements/, of all their versions: what `make lint` goes by.
advisories: $(VENV)/.installed
	$(BIN)/python packaging/audit.py --refresh

# What each image, and the Debian package (`server`), is made of, in CycloneDX's form.
sbom: $(VENV)/.installed
	mkdir -p dist/sbom
	for list in cpu gpu server; do \
		$(BIN)/cyclonedx-py requirements requirements/$$list.txt --pyproject pyproject.toml --mc-type application \
			--output-reproducible --output-file dist/sbom/talkspurt-$$list.cdx.json || exit 1; \
	done

# Every harness for a minute; what it finds lies in .cache/fuzz/found.
fuzz: $(VENV)/.installed
	$(BIN)/python -m fuzz --seconds 60

types: $(VENV)/.qwen3
	$(BIN)/mypy

# Which packages, in which version, with which hashes: one file for each thing that is installed. The versions are those of
# constraints.txt. Whatever is not there is taken from the old file, or is the newest. uv itself is taken by version and not
# by hash: nothing that it brings is run but uv, and what it writes is read before it counts.
define LOCKED
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate \
		--constraints constraints.txt pyproject.toml --group build
endef
lock:
	$(PYTHON) -m venv $(VENV)
	$(PIP) install uv==$(UV)
	$(LOCKED) --extra cluster --extra hearing --extra otel --extra pico --extra wyoming --group turns --output-file requirements/cpu.txt
	$(LOCKED) --extra cluster --extra gpu --extra hearing --extra otel --extra pico --extra wyoming --group cuda --group turns --output-file requirements/gpu.txt
	$(LOCKED) --extra cluster --extra hearing --extra languages --extra mcp --extra otel --extra pico --extra wyoming \
		--group turns --output-file requirements/server.txt
	$(LOCKED) --extra demo --extra dev --group turns --output-file requirements/dev.txt

bench: $(VENV)/.installed
	$(BIN)/python -u -m benchmarks.calls

# A package for Debian 12, into dist/, with all that the server needs. zstd packs it in seconds, xz in ten minutes.
deb: $(VENV)/.installed
	DPKG_DEB_COMPRESSOR_TYPE=zstd DPKG_DEB_COMPRESSOR_LEVEL=6 $(BIN)/python packaging/build_deb.py

clean:
	rm -rf $(VENV) demo .scenarios build dist *.egg-info
