"""`talkspurt agents` lists who answers the calls, or says what is wrong with the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.__main__ import main


def test_it_lists_the_agents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "agents.yaml"
    path.write_text(
        "desk:\n  default: true\n  voice_language: en\n  languages: {de: }\n"
        "sales:\n  numbers: [400, '+4930*']\n  llm_base_url: http://x/v1\n  llm_model: large\n"
    )
    monkeypatch.setenv("AGENTS", str(path))
    monkeypatch.setenv("ENGINE", "hibari")
    assert main(["agents"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "agent  numbers      language  voice         brain",
        "desk   every other  en, de    the engine's  the built-in script",
        "sales  400, +4930*  any       the engine's  large",
    ]


def test_it_says_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "agents.yaml"
    path.write_text("desk:\n  voice: nobody\n")
    monkeypatch.setenv("AGENTS", str(path))
    monkeypatch.setenv("ENGINE", "hibari")
    assert main(["agents"]) == 2
    assert f"{path}:2: desk.voice='nobody': must be one of " in capsys.readouterr().err
