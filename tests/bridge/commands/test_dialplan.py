"""What `talkspurt dialplan` prints for each version and address. tests/asterisk places calls through it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from bridge.__main__ import main
from bridge.calls_api.call_token import dialplan_secret
from bridge.commands import env_file

SHIPPED = sorted((Path(__file__).parents[3] / "dialplan").glob("*.conf"))
KEY = "opensesame"
_WEBSOCKET = ["--websocket", "--asterisk", "22.8"]
SHELL_UUID = "${SHELL(cat /proc/sys/kernel/random/uuid):0:36}"


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keeps a .env file and the settings of this machine out of the tests."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(env_file, "ENV_FILES", (Path(".env"),))
    for name in ("AUDIOSOCKET_HOST", "AUDIOSOCKET_PORT", "HTTP_HOST", "HTTP_PORT", "API_KEY"):
        monkeypatch.delenv(name, raising=False)


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["dialplan", *arguments]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_shipped_files_are_what_their_first_line_prints(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = path.read_text()
    command = shlex.split(text.splitlines()[0].removeprefix("; Made by: talkspurt dialplan"))
    assert printed(capsys, *command) == text


@pytest.mark.parametrize(
    ("version", "uuid", "keys"),
    [
        ("18.26.4", SHELL_UUID, False),
        ("certified-20.7-cert4", SHELL_UUID, False),
        ("20.11.1", SHELL_UUID, False),
        ("20.12", "${UUID()}", False),
        ("20.14.0", "${UUID()}", True),
        ("21.9", "${UUID()}", True),
        ("Asterisk 22.1.0", SHELL_UUID, False),
        ("22", SHELL_UUID, False),
        ("22.10.1", "${UUID()}", True),
        ("23.0", "${UUID()}", True),
        ("24.1", "${UUID()}", True),
    ],
)
def test_version(capsys: pytest.CaptureFixture[str], version: str, uuid: str, keys: bool) -> None:
    text = printed(capsys, "--asterisk", version)
    assert f"?{uuid}:${{TS_OUTBOUND}}" in text
    assert ("; Keys that are pressed" not in text) is keys
    assert (" same => n,Goto(${CUT(TS_NEXT," not in text) is keys, "a brief that nobody can answer is not told"
    assert "TS_VERSION" not in text


def test_unknown_version_gets_what_all_understand(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys)
    assert SHELL_UUID in text
    assert "; For Asterisk 18 and later." in text
    found = re.search(r"GotoIf\(\$\[(.*TS_VERSION.*)\]\?:\$\{CUT", text)
    assert found is not None, "whether there are keys is looked at in the call"
    condition = found[1].replace("&", " and ").replace("|", " or ")
    heard = [
        version
        for version in (0, 18_026, 20_013, 20_014, 20_020, 21_008, 21_009, 22_003, 22_004, 22_010, 23_000, 24_001)
        if eval(condition.replace("${TS_VERSION}", str(version)))
    ]
    assert heard == [20_014, 20_020, 21_009, 22_004, 22_010, 23_000, 24_001]


def test_keys_come_over_a_websocket_with_every_version(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "--websocket", "--asterisk", "20.18")
    assert "Keys that are pressed" not in text
    assert "Goto(${CUT" not in text


def test_addresses_are_those_of_the_settings(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUDIOSOCKET_HOST", "::1")
    monkeypatch.setenv("AUDIOSOCKET_PORT", "9100")
    monkeypatch.setenv("HTTP_PORT", "8100")
    assert "Gosub(talkspurt-server,s,1(http://[::1]:8100,[::1]:9100))" in printed(capsys)


def test_servers_are_tried_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "--server", "192.0.2.1:8100:9100", "--server", "192.0.2.2")
    first = text.index("(http://192.0.2.1:8100,192.0.2.1:9100)")
    assert first < text.index("(http://192.0.2.2:8000,192.0.2.2:9092)")


def test_the_key_is_not_in_the_dialplan_but_a_secret_made_of_it_is_read(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_KEY", KEY)
    text = printed(capsys)
    assert KEY not in text
    assert text.count("CURLOPT(userpwd)=${TS_CALL}:${SHA1(${FILE(/etc/asterisk/talkspurt.secret,0,64)}") == 2
    secret = printed(capsys, "--secret")
    assert len(secret) == 65
    assert secret.strip() == dialplan_secret(KEY)


def test_the_key_is_found_where_the_unit_has_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert main(["dialplan"]) == 0
    captured = capsys.readouterr()
    assert captured.err.startswith("No API_KEY was found.")
    assert "userpwd" not in captured.out
    unit_file = tmp_path / "talkspurt.env"
    unit_file.write_text(f"API_KEY={KEY}\nHTTP_PORT=8100\n")
    for arguments in ["--env-file", str(unit_file)], []:
        monkeypatch.setattr(env_file, "ENV_FILES", (tmp_path / "none", unit_file))
        assert main(["dialplan", *arguments]) == 0
        captured = capsys.readouterr()
        assert captured.err == ""
        assert "userpwd" in captured.out
        assert "127.0.0.1:8100" in captured.out


def test_a_file_of_settings_that_may_not_be_read_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Closed(type(Path())):  # type: ignore[misc]
        def open(self, *args: object, **kwargs: object) -> None:
            raise PermissionError

    monkeypatch.setattr(env_file, "ENV_FILES", (Closed("/etc/talkspurt/talkspurt.env"),))
    assert main(["dialplan"]) == 0
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "/etc/talkspurt/talkspurt.env: may not be read; run this as root, or as the server's user"
    assert told[1].startswith("No API_KEY was found.")


@pytest.mark.parametrize("server", ["127.0.0.1", "192.0.2.1"])
def test_a_missing_key_is_told_where_the_server_is_elsewhere(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, server: str
) -> None:
    (tmp_path / ".env").write_text("GREETING=Hello\n")
    assert main(["dialplan", "--server", server]) == 0
    assert ("No API_KEY" in capsys.readouterr().err) is (server == "192.0.2.1")


def test_the_form_of_the_call(capsys: pytest.CaptureFixture[str]) -> None:
    assert "TryExec(Dial(AudioSocket/${ARG2}/${TS_CALL}/c(slin),,g))" in printed(capsys)
    assert "/c(slin16),,g))" in printed(capsys, "--asterisk", "22.7", "--wideband")
    assert "TryExec(AudioSocket(${TS_CALL},${ARG2}))" in printed(capsys, "--asterisk", "22.4", "--application")


def test_a_websocket_is_dialled_with_the_calls_token(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    form = ["--websocket", "--asterisk", "22.8", "--server", "192.0.2.1:8100", "--server", "192.0.2.2"]
    assert "TryExec(Dial(WebSocket/${ARG2}/c(slin)f(json)v(id=${TS_CALL}),,g))" in printed(capsys, *form)
    assert "/c(slin16)f(json)" in printed(capsys, *form, "--wideband")
    monkeypatch.setenv("API_KEY", KEY)
    text = printed(capsys, *form)
    assert "v(id=${TS_CALL},token=${TS_TOKEN}),,g))" in text
    assert "Set(TS_TOKEN=${SHA1(${FILE(/etc/asterisk/talkspurt.secret,0,64)}" in text
    assert text.index("(http://192.0.2.1:8100,talkspurt-1)") < text.index("(http://192.0.2.2:8000,talkspurt-2)")
    assert "AudioSocket" not in text
    told = re.search(r"websocket must hold what this prints: talkspurt dialplan (.*)", text)
    assert told is not None
    client = printed(capsys, *shlex.split(told[1]))
    assert "[talkspurt-1]\n" in client
    assert "uri = ws://192.0.2.1:8100/v1/media\n" in client
    assert "uri = ws://192.0.2.2:8000/v1/media\n" in client
    assert KEY not in client


def test_tls_is_for_http_and_websocket(capsys: pytest.CaptureFixture[str]) -> None:
    form = ["--websocket", "--tls", "--asterisk", "23.2", "--server", "agent.example:443"]
    assert "(https://agent.example:443,talkspurt-1)" in printed(capsys, *form)
    client = printed(capsys, *form, "--websocket-client")
    assert "uri = wss://agent.example:443/v1/media\n" in client
    assert "tls_enabled = yes\n" in client


def test_what_looks_after_a_call_can_be_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert "[talkspurt-watch]" in printed(capsys)
    text = printed(capsys, "--no-watch")
    assert "watch" not in text.partition("\n")[2]


def test_no_placeholder_is_left(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", KEY)
    for arguments in [], ["--no-watch"], ["--application", "--asterisk", "22.8"], ["--fallback", "a,1,1"], _WEBSOCKET:
        assert not re.search(r"@[A-Z_]+@", printed(capsys, *arguments))


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--asterisk", "16.30"], "AudioSocket is in Asterisk from 18 on"),
        (["--asterisk", "latest"], "must be a version"),
        (["--wideband"], "say with --asterisk"),
        (["--wideband", "--asterisk", "22.6"], "needs Asterisk 20.17, 21.12, 22.7 or 23.1"),
        (["--wideband", "--asterisk", "23.0"], "needs Asterisk"),
        (["--server", "a b"], "must be HOST"),
        (["--server", "192.0.2.1:0"], "ports are 1 to 65535"),
        (["--server", "::1"], "square brackets"),
        (["--server", "192.0.2.1\n[default]"], "must be HOST"),
        (["--server", "192.0.2.1:" + "9" * 5_000], "must be HOST"),
        (["--asterisk", "22.8\nexten => s,1,System(id)"], "must be a version"),
        (["--asterisk", "22.8\r[default]"], "must be a version"),
        (["--asterisk", "22.8\x85[default]"], "must be a version"),
        (["--asterisk", "22.8\udcff"], "must be a version"),
        (["--asterisk", "9" * 5_000], "must be a version"),
        (["--asterisk", "22.8 " + "x" * 9_000], "must be a version"),
        (["--server", "192.0.2.1"] * 500, "too long"),
        (["--context", "a\n[default]"], "letters, digits"),
        (["--context", "a" * 80], "letters, digits"),
        (["--fallback", "a,1,1\n[default]"], "context,extension,priority"),
        (["--fallback", "a" * 9_000 + ",1,1"], "too long"),
        (["--application"], "say with --asterisk that it is 20.14, 21.9, 22.4 or 23.0"),
        (["--application", "--asterisk", "18.26"], "stay in silence for good"),
        (["--application", "--wideband", "--asterisk", "22.8"], "not with --application"),
        (["--websocket"], "say with --asterisk"),
        (["--websocket", "--asterisk", "22.7"], "needs Asterisk 20.18, 22.8 or 23.2"),
        (["--websocket", "--asterisk", "21.12"], "needs Asterisk"),
        (["--websocket", "--application", "--asterisk", "22.8"], "not with --application"),
        (["--tls"], "only with --websocket"),
        (["--secret"], "no API_KEY was found"),
        (["--env-file", "nowhere.env"], "nowhere.env"),
        (["--install", "nowhere"], "is it Asterisk's folder?"),
        (["--install", "no, where"], "means something else"),
        (["--context", "a,b"], "letters, digits"),
        (["--fallback", "400"], "context,extension,priority"),
    ],
)
def test_wrong_argument_is_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str], problem: str) -> None:
    assert main(["dialplan", *arguments]) == 2
    captured = capsys.readouterr()
    assert problem in captured.err
    problems = [line for line in captured.err.splitlines() if not line.startswith("No API_KEY was found.")]
    assert len(problems) == 1
    assert len(problems[0]) < 300
    assert captured.out == ""


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("AUDIOSOCKET_HOST", "0.0.0.0", "say with --server"),
        ("AUDIOSOCKET_HOST", "talkspurt\n[default]", "must be HOST"),
        ("HTTP_PORT", "9" * 5_000, "HTTP_PORT="),
    ],
)
def test_wrong_setting_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str, value: str, problem: str
) -> None:
    monkeypatch.setenv(name, value)
    assert main(["dialplan"]) == 2
    captured = capsys.readouterr()
    assert problem in captured.err
    assert len(captured.err.splitlines()) == 1
    assert len(captured.err) < 300
    assert name != "API_KEY" or value not in captured.err
    assert captured.out == ""


def test_a_key_of_any_characters_will_do(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", "a ,;\\${}()[]\"'`b")
    assert "userpwd" in printed(capsys)


@pytest.mark.parametrize(
    "version",
    [
        "Asterisk 22.8.2 built by root @ host on a x86_64 running Linux on 2026-01-02 03:04:05 UTC",
        "20.5.0~dfsg+~cs6.13-1",
    ],
)
def test_a_version_as_asterisk_or_a_package_tells_it(capsys: pytest.CaptureFixture[str], version: str) -> None:
    assert f"; Made by: {shlex.join(['talkspurt', 'dialplan', '--asterisk', version])}\n" in printed(
        capsys, "--asterisk", version
    )


def test_a_call_of_a_server_that_is_lost_goes_on_elsewhere_only_where_that_was_asked_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    servers = ["--server", "10.0.0.1", "--server", "10.0.0.2", "--asterisk", "22.8"]
    assert "cut" not in printed(capsys, *servers).casefold().replace("${cut(", "")
    resuming = printed(capsys, *servers, "--resume")
    assert "&continues=${TS_CALL}&cut_off=1" in resuming
    assert resuming.splitlines()[0].endswith("--resume")
    assert not re.search(r"@[A-Z_]+@", resuming)
    monkeypatch.setenv("API_KEY", KEY)
    assert "TS_SPARES" in printed(capsys, *servers, "--resume"), "a call that goes on has a token of its own"
