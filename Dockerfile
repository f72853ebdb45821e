# syntax=docker/dockerfile:1
# Builds two images: `--target cpu` is small and has the embedded voice, `--target gpu` has Qwen3-TTS on CUDA.
# compose.yaml builds and runs them.

# requirements/ was made with Python 3.11, and the tests run on it. The digest is that of the tag's list of platforms; for
# another tag, `docker buildx imagetools inspect python:TAG` prints it.
ARG PYTHON=3.11.13-slim-bookworm@sha256:86adf8dbadc3d6e82ee5dd2c74bec2e1c2467cdad47886280501df722372d2e1

# ---------------------------------------------------------------------------------------------------------------------
FROM python:${PYTHON} AS base
ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    ORT_DISABLE_TELEMETRY=1 \
    PATH=/opt/talkspurt/bin:$PATH
RUN groupadd --system --gid 10001 talkspurt \
    && useradd --system --uid 10001 --gid 10001 --create-home --home-dir /var/lib/talkspurt talkspurt \
    && install --directory --owner=talkspurt --group=talkspurt /var/lib/talkspurt/voices /var/lib/talkspurt/models

# ---------------------------------------------------------------------------------------------------------------------
FROM base AS build-cpu
WORKDIR /src
RUN python -m venv /opt/talkspurt
# Dependencies are installed first: they change less often than the program, and this layer is the large one. Of pipecat-ai
# only a model is read, that of the end of a turn.
COPY requirements/cpu.txt requirements/
RUN pip install --no-deps --require-hashes --requirement requirements/cpu.txt
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY bridge bridge
COPY engine engine
COPY dialplan dialplan
RUN pip install --no-deps --no-build-isolation .

# ---------------------------------------------------------------------------------------------------------------------
FROM base AS build-gpu
WORKDIR /src
RUN python -m venv /opt/talkspurt
# torch brings CUDA's libraries along, so the image needs only the host's driver (for CUDA 13: 580 or newer).
COPY requirements/gpu.txt requirements/
RUN pip install --no-deps --require-hashes --requirement requirements/gpu.txt
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY bridge bridge
COPY engine engine
COPY dialplan dialplan
RUN pip install --no-deps --no-build-isolation .

# ---------------------------------------------------------------------------------------------------------------------
FROM build-gpu AS kernels
# Compiled without a GPU, for those named here (89: RTX 40, 90: H100), the default model and the default settings. Whatever
# else a start needs it compiles itself. Triton remembers where its files lie: this is TRITON_CACHE_DIR of the image below.
ARG KERNELS_FOR=89
COPY tests/__init__.py tests/
COPY tests/support/__init__.py tests/support/
COPY tests/support/qwen3 tests/support/qwen3
RUN for gpu in $KERNELS_FOR; do \
        TRITON_CACHE_DIR=/var/lib/talkspurt/models/triton python -m tests.support.qwen3.build_ahead "$gpu" || exit 1; \
    done

# ---------------------------------------------------------------------------------------------------------------------
FROM base AS runtime
ENV AUDIOSOCKET_HOST=0.0.0.0 \
    HTTP_HOST=0.0.0.0 \
    ALLOWED_HOSTS=talkspurt,talkspurt-cpu \
    LOG_FORMAT=json \
    VOICES_DIR=/var/lib/talkspurt/voices
WORKDIR /var/lib/talkspurt
EXPOSE 9092 8000
# /health answers 200 while the process can take calls; its text says what is wrong.
HEALTHCHECK --interval=10s --timeout=3s --start-period=300s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health', timeout=2)"]
STOPSIGNAL SIGTERM
CMD ["talkspurt", "serve"]

# ---------------------------------------------------------------------------------------------------------------------
FROM runtime AS gpu
# Triton needs a C compiler to build its launchers when a kernel is first used.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
ENV HF_HOME=/var/lib/talkspurt/models \
    XDG_CACHE_HOME=/var/lib/talkspurt/models \
    TRITON_CACHE_DIR=/var/lib/talkspurt/models/triton \
    TORCHINDUCTOR_CACHE_DIR=/var/lib/talkspurt/models/inductor \
    NUMBA_CACHE_DIR=/tmp/numba \
    ENGINE=auto \
    QUANTIZE=int8
COPY --from=build-gpu /opt/talkspurt /opt/talkspurt
COPY --from=kernels --chown=10001:10001 /var/lib/talkspurt/models/triton /var/lib/talkspurt/models/triton
USER 10001:10001
VOLUME ["/var/lib/talkspurt/models", "/var/lib/talkspurt/voices"]

# ---------------------------------------------------------------------------------------------------------------------
FROM runtime AS cpu
ENV ENGINE=hibari
COPY --from=build-cpu /opt/talkspurt /opt/talkspurt
USER 10001:10001
VOLUME ["/var/lib/talkspurt/voices"]
