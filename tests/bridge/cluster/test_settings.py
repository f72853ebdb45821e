"""Settings of a bridge that is one of several are checked at the start."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from bridge.cluster import settings as cluster_settings
from bridge.config import WrongSetting, load_settings


@pytest.fixture(autouse=True)
def no_file(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("url", ["http://h", "redis://", "redis://h:x", "unix://"])
def test_what_is_no_redis_is_told(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("REDIS_URL", url)
    with pytest.raises(WrongSetting, match=r"^REDIS_URL=.*must be like redis://"):
        load_settings()


def test_a_password_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "http://:xyzzyplugh@h")
    with pytest.raises(WrongSetting) as told:
        load_settings()
    assert "xyzzyplugh" not in str(told.value)


def test_without_its_package_it_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_settings, "find_spec", lambda name: None if name == "redis" else find_spec(name))
    monkeypatch.setenv("REDIS_URL", "redis://h")
    with pytest.raises(WrongSetting, match=r"pip install '.*\[cluster\]'"):
        load_settings()


@pytest.mark.parametrize(
    "settings",
    [
        {"HTTP_HOST": "0.0.0.0", "API_KEY": "k"},
        {"HTTP_HOST": "10.0.0.5", "HTTP_PORT": "0", "WORKERS": "2", "API_KEY": "k"},
        {},
        {"HTTP_HOST": "localhost"},
        {"HTTP_HOST": "::1", "REDIS_URL": "rediss://:xyzzyplugh@10.0.0.9:6379/0"},
    ],
)
def test_the_others_have_to_know_where_a_bridge_is(monkeypatch: pytest.MonkeyPatch, settings: dict[str, str]) -> None:
    for name, value in {"REDIS_URL": "redis://h", **settings}.items():
        monkeypatch.setenv(name, value)
    host = settings.get("HTTP_HOST", "127.0.0.1")
    with pytest.raises(
        WrongSetting, match=rf"^BRIDGE_URL='': must say where .*, as http://.*HTTP_HOST='{host}'"
    ) as told:
        load_settings()
    assert "xyzzyplugh" not in str(told.value)
    monkeypatch.setenv("BRIDGE_URL", "http://10.0.0.5:8000/")
    assert load_settings().cluster.bridge_url == "http://10.0.0.5:8000"


@pytest.mark.parametrize(
    "settings",
    [
        {"REDIS_URL": "redis://127.0.0.1:6379/0"},
        {"REDIS_URL": "redis://localhost", "WORKERS": "2"},
        {"REDIS_URL": "redis://[::1]"},
        {"REDIS_URL": "unix:///run/redis.sock"},
        {"REDIS_URL": "redis://10.0.0.9", "HTTP_HOST": "10.0.0.5", "API_KEY": "k"},
        {"REDIS_URL": ""},
    ],
)
def test_bridges_of_one_machine_need_no_address_for_others(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str]
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert load_settings().cluster.bridge_url == ""


@pytest.mark.parametrize("url", ["10.0.0.5:8000", "http://h/v1", "http://h:x"])
def test_what_is_no_address_of_a_bridge_is_told(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("BRIDGE_URL", url)
    with pytest.raises(WrongSetting, match=r"^BRIDGE_URL=.*must be like http://"):
        load_settings()
