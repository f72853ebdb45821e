"""`talkspurt doctor` beside a real server, beside none, and beside programs that are no Asterisk."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from bridge.__main__ import main
from bridge.config import Settings
from bridge.doctor.asterisk import AsteriskCli, NoAsterisk
from bridge.doctor.finding import Level
from bridge.doctor.host import check_disk
from bridge.doctor.server import check_server
from tests.support.asterisk.asterisk import free_port
from tests.support.whole_app import whole_app


@pytest.fixture(autouse=True)
def no_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HTTP_PORT", str(free_port()))
    monkeypatch.setenv("AUDIOSOCKET_PORT", str(free_port()))


def program(folder: Path, script: str) -> str:
    path = folder / "asterisk"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_without_a_server_it_says_how_to_start_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--asterisk", "/nowhere/asterisk"]) == 1
    printed = capsys.readouterr().out
    assert "WRONG  no server answers at http://127.0.0.1:" in printed
    assert "→ start it: systemctl start talkspurt" in printed
    assert "advice Asterisk was not looked at: there is no program '/nowhere/asterisk' here" in printed
    assert printed.endswith("1 wrong, 1 could be better\n")


def test_it_reads_the_file_of_the_unit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "talkspurt.env"
    settings.write_text("HTTP_PORT=1\nGREETNG=Hello.\n")
    (tmp_path / ".env").write_text("HTTP_PORT=2\n")
    monkeypatch.delenv("HTTP_PORT")
    command = ["doctor", "--asterisk", "/nowhere/asterisk"]
    assert main([*command, "--env-file", str(settings)]) == 1
    printed = capsys.readouterr().out
    assert "no server answers at http://127.0.0.1:1:" in printed
    assert "advice GREETNG is no setting and has no effect; did you mean GREETING?" in printed
    assert main([*command, "--env-file", str(tmp_path / "none")]) == 2
    assert "none: No such file or directory" in capsys.readouterr().err


def test_trials_without_an_asterisk_say_so(capsys: pytest.CaptureFixture[str]) -> None:
    main(["doctor", "--asterisk", "/nowhere/asterisk", "--trials"])
    assert (
        "advice no trial call could be placed: there is no program '/nowhere/asterisk' here" in capsys.readouterr().out
    )


def test_an_asterisk_that_does_not_reach_the_doctor_is_one_finding(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """This one does as it is told, and nothing of it comes here."""
    monkeypatch.setattr("bridge.doctor.trials.PATIENCE_S", 0.1)
    main(["doctor", "--asterisk", program(tmp_path, "exit 0"), "--trials"])
    trials = [line for line in capsys.readouterr().out.splitlines() if "trial:" in line]
    assert trials == ["WRONG  trial: Asterisk does not reach 127.0.0.1, where the doctor runs"]


def test_an_asterisk_that_does_not_run_is_said_in_its_own_words(tmp_path: Path) -> None:
    command = program(tmp_path, "echo 'Unable to connect to remote asterisk (does /run/asterisk.ctl exist?)'; exit 1")
    with pytest.raises(NoAsterisk, match="Unable to connect to remote asterisk"):
        AsteriskCli(command).run("core show version")


def test_over_ssh_a_command_of_several_words_stays_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ssh").write_text('#!/bin/sh\nshift\nexec sh -c "$*"\n')
    (tmp_path / "ssh").chmod(0o755)
    program(tmp_path, 'printf "%s|" "$@"')
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert (
        AsteriskCli("ssh root@pbx asterisk").run("module show like audiosocket") == "-rx|module show like audiosocket|"
    )


async def test_a_server_that_works_is_called_and_heard() -> None:
    async with whole_app(greeting="Hello.", api_key="opensesame") as bench:
        settings = Settings.of(
            greeting="Hello.",
            api_key="opensesame",
            http_port=bench.app.http_port,
            audiosocket_port=bench.app.audiosocket_port,
        )
        found = await check_server(settings)
    assert [finding.level for finding in found] == [Level.OK, Level.OK]
    assert found[1].fact.startswith("a test call heard the greeting after ")


async def test_a_wrong_key_is_told() -> None:
    async with whole_app(greeting="Hello.", api_key="opensesame") as bench:
        settings = Settings.of(
            api_key="closesesame", http_port=bench.app.http_port, audiosocket_port=bench.app.audiosocket_port
        )
        found = await check_server(settings)
    assert [finding.level for finding in found] == [Level.OK, Level.WRONG]
    assert "API key" in found[1].fact


def test_a_full_disk_is_wrong(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert check_disk(None) == []
    monkeypatch.setattr("bridge.doctor.host.MIN_FREE_BYTES", 0)
    assert [finding.level for finding in check_disk(tmp_path / "not" / "yet")] == [Level.OK]
    monkeypatch.setattr("bridge.doctor.host.MIN_FREE_BYTES", 2**80)
    assert [finding.level for finding in check_disk(tmp_path)] == [Level.WRONG]
