"""Settings: where they come from, and what a wrong one says."""

import subprocess
import sys
from pathlib import Path

import pytest

from bridge import config
from bridge.config import FIELDS, GROUPS, WrongSetting, load_settings, settings_table
from bridge.hearing.asr.protocol import AsrOptions
from bridge.hearing.asr.protocols import PROTOCOLS
from bridge.traces import settings as traces_settings


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in ("AUDIOSOCKET_PORT", "ENGINE", "MAX_CALLS", "GREETING", "LOG_FORMAT"):
        monkeypatch.delenv(name, raising=False)


def test_defaults_listen_on_loopback_only():
    settings = load_settings().server
    assert (settings.audiosocket_host, settings.audiosocket_port) == ("127.0.0.1", 9092)
    assert (settings.http_host, settings.http_port) == ("127.0.0.1", 8000)


def test_a_dotenv_file_counts_and_the_environment_counts_more(monkeypatch, tmp_path):
    (tmp_path / ".env").write_text('GREETING="Good morning."\nMAX_CALLS=7\n')
    monkeypatch.setenv("MAX_CALLS", "9")
    settings = load_settings()
    assert settings.conversation.greeting == "Good morning."
    assert settings.server.max_calls == 9


@pytest.mark.parametrize(
    ("name", "group"),
    [("BACKCHANNELS", "conversation"), ("PRIME_LANGUAGES", "qwen"), ("REALTIME_TRANSCRIBER", "realtime")],
)
def test_what_is_on_by_default_is_off_with_none_and_not_by_an_empty_setting(monkeypatch, name, group):
    monkeypatch.setenv(name, "")
    assert getattr(getattr(load_settings(), group), name.lower()), "empty is as unset"
    monkeypatch.setenv(name, "none")
    assert getattr(getattr(load_settings(), group), name.lower()) == ""


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("AUDIOSOCKET_PORT", "seventy", "integer"),
        ("AUDIOSOCKET_PORT", "70000", "less than or equal to 65535"),
        ("ENGINE", "festival", "'auto', 'hibari', 'qwen3' or 'remote'"),
        ("MAX_CALLS", "0", "greater than or equal to 1"),
        ("LOG_FORMAT", "xml", "'json' or 'text'"),
    ],
)
def test_a_wrong_setting_is_one_line_with_name_value_and_what_is_allowed(monkeypatch, name, value, allowed):
    monkeypatch.setenv(name, value)
    with pytest.raises(WrongSetting) as raised:
        load_settings()
    line = str(raised.value)
    assert line.startswith(f"{name}={value!r}: must be ")
    assert allowed in line
    assert "\n" not in line


@pytest.mark.parametrize("value", ["9" * 5_000, "1\n2", "\x1b[2J", "９" * 500])
def test_a_wrong_value_of_any_length_is_one_short_line(monkeypatch, value):
    monkeypatch.setenv("HTTP_PORT", value)
    with pytest.raises(WrongSetting) as raised:
        load_settings()
    assert str(raised.value).startswith("HTTP_PORT=")
    assert len(str(raised.value)) < 300
    assert str(raised.value).isprintable()


def test_a_dotenv_file_that_is_no_text_is_one_line(tmp_path):
    (tmp_path / ".env").write_bytes(b"GREETING=\xff\xfe\n")
    with pytest.raises(WrongSetting, match=r"^\.env: .*utf-8[^\n]*$"):
        load_settings()


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("ws://[", "must be an address"),
        ("ws://", "must be an address"),
        ("ws://asr:99999999", "must be an address"),
        ("ws://asr:" + "9" * 5_000, "must be an address"),
    ],
)
def test_an_address_that_no_call_could_connect_to_stops_the_start(monkeypatch, address, problem):
    monkeypatch.setenv("ASR_URL", address)
    with pytest.raises(WrongSetting) as raised:
        load_settings()
    assert f": {problem}" in str(raised.value)
    assert str(raised.value).startswith("ASR_URL=")
    assert len(str(raised.value)) < 300


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"BRAIN": "realtime"}, "REALTIME_URL='': must be the service's address with BRAIN=realtime"),
        ({"BRAIN": "realtime", "REALTIME_URL": "http://h"}, "REALTIME_URL='http://h': must start with ws:// or wss://"),
        ({"BRAIN": "speech"}, "BRAIN='speech': must be 'text' or 'realtime'"),
        ({"REALTIME_API_KEY": "a\nb"}, "REALTIME_API_KEY=(hidden): must be printable ASCII on one line"),
        ({"REALTIME_TIMEOUT_MS": "5"}, "REALTIME_TIMEOUT_MS='5': must be greater than or equal to 500"),
        ({"LLM_CONDENSE_AFTER": "40"}, "LLM_CONDENSE_KEEP='40': must be less than LLM_CONDENSE_AFTER=40"),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "localhost:4318"},
            "OTEL_EXPORTER_OTLP_ENDPOINT='localhost:4318': must start with http:// or https:// and a host",
        ),
        ({"PRIVACY": "all"}, "PRIVACY='all': must be 'off', 'routing' or 'strict'"),
        ({"PRIVACY": "routing", "PRIVACY_KEY": "short"}, "PRIVACY_KEY=(hidden): must have at least 16 characters with"),
        ({"PRIVACY": "routing"}, "PRIVACY_KEY=(hidden): must have at least 16 characters with PRIVACY=routing"),
        (
            {"PRIVACY": "strict", "SUMMARY": "true", "LLM_BASE_URL": "http://m/v1", "LLM_MODEL": "m"},
            "SUMMARY='true': must be false with PRIVACY=strict",
        ),
    ],
)
def test_a_setting_that_another_excludes_or_needs_stops_the_start(monkeypatch, settings, line):
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(WrongSetting) as raised:
        load_settings()
    assert line in str(raised.value)


@pytest.mark.parametrize("package", ["no_such_package", "no_such_package.inside"])
def test_traces_without_their_packages_stop_the_start(monkeypatch, package):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318")
    assert load_settings().traces.otel_service_name == "talkspurt"
    monkeypatch.setattr(traces_settings, "PACKAGES", (package,))
    with pytest.raises(WrongSetting, match=r"must be empty without its packages: .*otel"):
        load_settings()


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"ASR_URL": "ws://user:hush@asr/path?key=hush"}, "ASR_API_KEY"),
        ({"ENGINE": "remote", "REMOTE_URL": "http://user:hush@voice/v1"}, "REMOTE_API_KEY"),
        ({"BRAIN": "realtime", "REALTIME_URL": "wss://user:hush@voice/v1"}, "REALTIME_API_KEY"),
    ],
)
def test_a_password_in_an_address_and_a_key_exclude_one_another(monkeypatch, settings, key):
    """The client refuses to send both, with each call or sentence."""
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    load_settings()
    monkeypatch.setenv(key, "hush")
    with pytest.raises(WrongSetting) as raised:
        load_settings()
    assert str(raised.value).startswith(f"{key}=(hidden): must be empty where {key.partition('_')[0]}_URL holds")
    assert "hush" not in str(raised.value)


@pytest.mark.parametrize(
    "name",
    ["ASR_URL", "LLM_BASE_URL", "OTEL_EXPORTER_OTLP_ENDPOINT", "REALTIME_URL", "REMOTE_URL", "WEBHOOK_URL"],
)
def test_a_wrong_address_does_not_tell_its_password(monkeypatch, name):
    monkeypatch.setenv("ENGINE", "remote")
    monkeypatch.setenv(name, "gopher://user:hush@host/path?key=hush")
    with pytest.raises(WrongSetting) as raised:
        load_settings()
    (line,) = (line for line in str(raised.value).splitlines() if line.startswith(name))
    assert "host/path" in line
    assert "hush" not in str(raised.value)


def test_every_wrong_setting_of_every_part_is_told_at_once_and_no_key_is(monkeypatch):
    for name in ("REMOTE_API_KEY", "API_KEY", "ASR_API_KEY"):
        monkeypatch.setenv(name, "hush")
    for name, value in (("MAX_CALLS", "0"), ("ASR_URL", "http://a"), ("REFERENCE_MAX_S", "0.5"), ("QUANTIZE", "int3")):
        monkeypatch.setenv(name, value)
    with pytest.raises(WrongSetting) as raised:
        load_settings()
    told = str(raised.value)
    assert {line.partition("=")[0] for line in told.splitlines()} == {
        "MAX_CALLS", "ASR_URL", "REFERENCE_MAX_S", "QUANTIZE"
    }  # fmt: skip
    assert "hush" not in told


def test_no_two_parts_have_a_setting_of_the_same_name():
    assert len(FIELDS) == sum(len(group.model_fields) for group in GROUPS.values())


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "phone.example"])
def test_to_be_reached_by_others_takes_a_key_or_a_setting(monkeypatch, host):
    monkeypatch.setenv("HTTP_HOST", host)
    with pytest.raises(WrongSetting, match=r"^HTTP_HOST='.*': must be a loopback address.*API_KEY.*HTTP_WITHOUT_KEY"):
        load_settings()
    monkeypatch.setenv("HTTP_WITHOUT_KEY", "true")
    assert load_settings().server.http_host == host
    monkeypatch.delenv("HTTP_WITHOUT_KEY")
    monkeypatch.setenv("API_KEY", "a key")
    assert load_settings().server.http_host == host


def test_wyoming_beyond_loopback_takes_a_setting_for_it_knows_no_key(monkeypatch):
    monkeypatch.setenv("WYOMING_HOST", "0.0.0.0")
    assert load_settings().server.wyoming_port is None, "nothing listens there"
    monkeypatch.setenv("WYOMING_PORT", "10200")
    monkeypatch.setenv("API_KEY", "a key")
    with pytest.raises(WrongSetting, match=r"^WYOMING_HOST='0.0.0.0': must be a loopback.*WYOMING_WITHOUT_KEY"):
        load_settings()
    monkeypatch.setenv("WYOMING_WITHOUT_KEY", "true")
    assert load_settings().server.wyoming_port == 10_200


def test_wyoming_without_its_package_is_told_with_how_to_get_it(monkeypatch):
    monkeypatch.setattr(config, "find_spec", lambda name: None)
    monkeypatch.setenv("WYOMING_PORT", "10200")
    with pytest.raises(
        WrongSetting, match=r"^WYOMING_PORT='10200': .* without its package: pip install '.*\[wyoming\]'$"
    ):
        load_settings()
    monkeypatch.delenv("WYOMING_PORT")
    load_settings()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_takes_none(monkeypatch, host):
    monkeypatch.setenv("HTTP_HOST", host)
    assert load_settings().server.http_host == host


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_service_that_must_be_told_when_the_caller_stops_needs_the_local_detector(monkeypatch, protocol):
    """Without the detector the answer would wait for a final transcript that never comes."""
    monkeypatch.setenv("ASR_URL", "ws://127.0.0.1:9")
    monkeypatch.setenv("ASR_PROTOCOL", protocol)
    monkeypatch.setenv("LOCAL_VAD", "false")
    service = PROTOCOLS[protocol](AsrOptions())
    if service.speech_events or not service.flush():
        assert not load_settings().conversation.local_vad
        return
    with pytest.raises(WrongSetting) as raised:
        load_settings()
    assert str(raised.value).startswith(f"LOCAL_VAD='false': must be true with ASR_PROTOCOL={protocol}: ")
    assert "\n" not in str(raised.value)
    monkeypatch.setenv("ASR_URL", "")
    assert not load_settings().conversation.local_vad, "no recogniser, nothing to be told"


@pytest.mark.parametrize(
    ("port", "status", "says"), [("9092", 0, "right"), ("-1", 2, "AUDIOSOCKET_PORT='-1': must be")]
)
def test_check_validates_and_exits(monkeypatch, port, status, says):
    monkeypatch.setenv("AUDIOSOCKET_PORT", port)
    done = subprocess.run([sys.executable, "-m", "bridge", "serve", "--check"], capture_output=True, text=True)
    assert done.returncode == status, done.stderr
    assert says in done.stdout + done.stderr
    assert len((done.stdout + done.stderr).splitlines()) == 1


def test_check_knows_the_embedded_voices(monkeypatch):
    monkeypatch.setenv("ENGINE", "hibari")
    monkeypatch.setenv("VOICE", "nobody")
    done = subprocess.run([sys.executable, "-m", "bridge", "serve", "--check"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("VOICE='nobody': must be one of heart")
    assert len(done.stderr.splitlines()) == 1


def test_the_page_lists_every_setting_as_it_is():
    page = Path(__file__).parents[2] / "docs/settings.md"
    assert page.read_text().endswith(settings_table()), "run: talkspurt settings"


def test_every_setting_says_what_it_is_for():
    untold = [name for name, field in FIELDS.items() if not field.description]
    assert untold == [], "give its Field a description"
