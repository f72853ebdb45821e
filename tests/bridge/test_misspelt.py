"""A misspelt setting is named at the start, with the setting that was meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.__main__ import main
from bridge.config import FIELDS, misspelt_settings
from bridge.misspelt import misspelt


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in FIELDS:
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("MAX_CALL", "MAX_CALLS"),
        ("GREETNG", "GREETING"),
        ("AUDIOSOCKET_PROT", "AUDIOSOCKET_PORT"),
        ("ASR_URI", "ASR_URL"),
        ("llm_api_keys", "LLM_API_KEY"),
        ("TRANSFER_ALLOWED", "TRANSFER_ALLOW"),
        ("NO_INPUT_TIMEOUT", "NO_INPUT_TIMEOUT_MS"),
    ],
)
def test_a_misspelt_setting_is_named_with_the_one_that_was_meant(
    monkeypatch: pytest.MonkeyPatch, wrong: str, meant: str
) -> None:
    before = misspelt_settings()
    monkeypatch.setenv(wrong, "3")
    assert set(misspelt_settings()) - set(before) == {
        f"{wrong.upper()} is no setting and has no effect; did you mean {meant}?"
    }


def test_so_is_one_in_the_dotenv_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("MAX_CALL=3\nMAX_CALLS=4\nHF_HOME=/srv\n")
    assert "MAX_CALL is no setting and has no effect; did you mean MAX_CALLS?" in misspelt_settings()


def test_what_other_programs_read_is_not_taken_for_a_setting() -> None:
    others = (
        "HTTP_PROXY HTTPS_PROXY NO_PROXY LANG LANGUAGE LC_ALL HOST HOSTNAME PORT OPENAI_API_KEY OPENAI_BASE_URL "
        "DEEPGRAM_API_KEY HF_HOME CUDA_VISIBLE_DEVICES OMP_NUM_THREADS PYTHONPATH TZ TERM LOGNAME VIRTUAL_ENV "
        "NOTIFY_SOCKET INVOCATION_ID JOURNAL_STREAM"
    )
    assert misspelt(others.lower().split(), FIELDS) == []


def test_the_check_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("GREETNG", "Hello.")
    assert main(["serve", "--check"]) == 0
    assert "GREETNG is no setting and has no effect; did you mean GREETING?" in capsys.readouterr().err


def test_a_wrong_setting_and_a_misspelt_one_are_both_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MAX_CALLS", "none")
    monkeypatch.setenv("GREETNG", "Hello.")
    assert main(["serve"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[0] for line in lines if "is no setting" in line or "MAX_CALLS=" in line] == [
        "MAX_CALLS='none':",
        "GREETNG",
    ]
