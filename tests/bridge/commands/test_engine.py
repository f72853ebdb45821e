"""`talkspurt engine` refuses to start where it would be open to others, and says what is missing."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from bridge.__main__ import main
from bridge.commands import engine as command
from bridge.config import WrongSetting, load_settings
from engine.extras import install
from tests.support.counting_engine import CountingEngine

TOKEN = "a token of some length"


@pytest.fixture
def certificate(tmp_path: Path) -> str:
    path = tmp_path / "cert.pem"
    path.touch()
    return str(path)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "voice.example"])
def test_to_be_reached_by_others_takes_a_token_and_a_certificate(monkeypatch, capsys, certificate, host):
    monkeypatch.setenv("ENGINE_HOST", host)
    begin = f"ENGINE_HOST='{host}': must be a loopback address unless "
    assert main(["engine"]) == 2
    assert capsys.readouterr().err == f"{begin}ENGINE_TOKEN and ENGINE_TLS_CERT are set\n"
    monkeypatch.setenv("ENGINE_TOKEN", TOKEN)
    assert main(["engine"]) == 2
    assert capsys.readouterr().err == f"{begin}ENGINE_TLS_CERT is set too\n"
    monkeypatch.setenv("ENGINE_TLS_CERT", certificate)
    assert main(["engine"]) == 1, "the settings are right, the certificate is not"
    assert "cannot start: ENGINE_TLS_CERT=" in capsys.readouterr().err
    monkeypatch.delenv("ENGINE_TOKEN")
    assert main(["engine"]) == 2
    assert capsys.readouterr().err == f"{begin}ENGINE_TOKEN is set too\n"


def test_a_replica_speaks_itself(monkeypatch, capsys):
    monkeypatch.setenv("ENGINE", "remote")
    monkeypatch.setenv("ENGINE_URLS", "127.0.0.1:7070")
    assert main(["engine"]) == 2
    assert capsys.readouterr().err.startswith("ENGINE='remote': must be auto, hibari or qwen3")


def test_a_port_in_use_is_named(monkeypatch, capsys, unused_tcp_port):
    monkeypatch.setenv("ENGINE", "hibari")
    monkeypatch.setenv("ENGINE_PORT", str(unused_tcp_port))
    with socket.create_server(("127.0.0.1", unused_tcp_port)):
        assert main(["engine"]) == 1
    assert f"ENGINE_PORT={unused_tcp_port}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"ENGINE": "remote"}, "REMOTE_URL='': must be a URL such as http"),
        (
            {"ENGINE": "remote", "ENGINE_URLS": "a"},
            "ENGINE_URLS='a': must be addresses as host:7070,host:7071; 'a' has no port",
        ),
        (
            {"ENGINE": "remote", "ENGINE_URLS": "voice.example:7070"},
            "ENGINE_TOKEN=(hidden): must be set where ENGINE_URLS names other machines",
        ),
        ({"ENGINE_TOKEN": "short"}, "ENGINE_TOKEN=(hidden): must be 16 to 512 characters of printable ASCII"),
        ({"ENGINE_TOKEN": "sixteen letters\n!"}, "ENGINE_TOKEN=(hidden): must be 16 to 512"),
        (
            {"ENGINE": "remote", "ENGINE_URLS": "[::1]:1", "REMOTE_URL": "http://a/v1"},
            "REMOTE_URL='http://a/v1': must be empty where ENGINE_URLS names replicas",
        ),
        ({"ENGINE_URLS": "tls://user:hush@a:7070"}, "ENGINE_URLS='***': must hold no user and no password"),
        ({"ENGINE": "remote", "ENGINE_URLS_FROM": "head:8000"}, "ENGINE_URLS_FROM='head:8000': must be a URL such as"),
        (
            {"ENGINE": "remote", "ENGINE_URLS": "[::1]:1", "ENGINE_URLS_FROM": "http://localhost/replicas"},
            "ENGINE_URLS_FROM='http://localhost/replicas': must be empty where ENGINE_URLS names replicas",
        ),
        (
            {"ENGINE": "remote", "ENGINE_URLS_FROM": "http://head:8000/replicas"},
            "ENGINE_TOKEN=(hidden): must be set where ENGINE_URLS_FROM is another machine's",
        ),
        (
            {"ENGINE": "remote", "ENGINE_URLS_FROM": "http://head:8000/replicas", "ENGINE_TOKEN": TOKEN},
            "ENGINE_TLS_CA='None': must be set where ENGINE_URLS_FROM is another machine's and not https",
        ),
        (
            {"ENGINE": "remote", "ENGINE_URLS_FROM": "http://[::1]/replicas", "REMOTE_URL": "http://a/v1"},
            "REMOTE_URL='http://a/v1': must be empty where ENGINE_URLS_FROM names replicas",
        ),
        (
            {"ENGINE_MIN_REPLICAS": "3", "ENGINE_MAX_REPLICAS": "2"},
            "ENGINE_MAX_REPLICAS='2': must not be less than ENGINE_MIN_REPLICAS",
        ),
        ({"ENGINE_TLS_CA": "/nowhere.pem"}, "ENGINE_TLS_CA='/nowhere.pem': must be a file that there is"),
        ({"ENGINE_TLS_CERT": "/nowhere.pem"}, "ENGINE_TLS_CERT='/nowhere.pem': must be a file that there is"),
        ({"ENGINE_PORT": "70000"}, "ENGINE_PORT='70000': must be"),
    ],
)
def test_a_wrong_setting_of_replicas_stops_the_start(monkeypatch, settings, line):
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(WrongSetting) as raised:
        load_settings()
    assert str(raised.value).startswith(line)


def test_a_key_without_a_certificate_stops_the_start(monkeypatch, certificate):
    monkeypatch.setenv("ENGINE_TLS_KEY", certificate)
    with pytest.raises(WrongSetting, match=r"^ENGINE_TLS_KEY=.*: must be empty without ENGINE_TLS_CERT"):
        load_settings()


def test_replicas_need_no_other_server(monkeypatch):
    monkeypatch.setenv("ENGINE", "remote")
    monkeypatch.setenv("ENGINE_URLS", "127.0.0.1:7070,tls://localhost:7071")
    assert load_settings().engine.remote_url == ""


def test_a_list_over_https_needs_no_authority_of_its_own(monkeypatch):
    monkeypatch.setenv("ENGINE", "remote")
    monkeypatch.setenv("ENGINE_URLS_FROM", "https://head.example/replicas")
    monkeypatch.setenv("ENGINE_TOKEN", TOKEN)
    assert load_settings().engine.engine_tls_ca is None


def test_ray_has_to_be_installed(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(["engine", "--ray"]) == 1
    assert capsys.readouterr().err == f"cannot start: --ray needs its package: {install('ray')}\n"


def test_ray_chooses_the_gpu(monkeypatch, capsys):
    monkeypatch.setenv("DEVICE", "cuda:1")
    assert main(["engine", "--ray"]) == 2
    assert capsys.readouterr().err.startswith("DEVICE='cuda:1': must be cuda or cpu with --ray")


def test_ray_has_to_run(monkeypatch, capsys):
    def none_there(**_):
        raise ConnectionError("Could not find any running Ray instance.")

    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(init=none_there))
    fleet = SimpleNamespace(Plan=None, deploy_replicas=None, gpus_of=None)
    monkeypatch.setitem(sys.modules, "engine.fleet.deployment", fleet)
    assert main(["engine", "--ray"]) == 1
    assert capsys.readouterr().err.startswith("cannot start: no Ray runs on this machine; `ray start --head`")


async def test_systemd_hears_that_a_replica_lives(monkeypatch, tmp_path, unused_tcp_port):
    """Without it systemd would end one every few seconds, by the server's unit."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", systemd.getsockname())
        monkeypatch.setenv("WATCHDOG_USEC", "400000")
        monkeypatch.setenv("ENGINE_PORT", str(unused_tcp_port))
        monkeypatch.setattr(command, "_engine", lambda _: CountingEngine())
        serving = asyncio.create_task(command.serve(load_settings()))
        loop = asyncio.get_running_loop()
        told = [await loop.sock_recv(systemd, 100) for _ in range(4)]
        os.kill(os.getpid(), signal.SIGTERM)
        await serving
    assert sorted(told) == [b"READY=1", *[b"WATCHDOG=1"] * 3]
