import io
import sys
import wave
from collections.abc import AsyncGenerator
from pathlib import Path

import av
import numpy as np
import pytest

from bridge.__main__ import main
from bridge.commands import say
from engine.speech import Pcm, Style, UnspeakableText
from tests.support.fakes import FakeEngine


class Engine(FakeEngine):
    """Remembers the style, and counts in `started` and `closed` how often it was started and closed."""

    started = closed = 0
    style: Style

    async def start(self) -> None:
        self.started += 1

    async def close(self) -> None:
        self.closed += 1

    async def stream(self, sentence: str, style: Style) -> AsyncGenerator[Pcm, None]:
        self.style = style
        self.resolve_voice(style.voice)
        if "Unspeakable" in sentence:
            raise UnspeakableText("no sounds for it")
        async for pcm in super().stream(sentence, style):
            yield pcm


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Engine:
    engine = Engine()
    monkeypatch.chdir(tmp_path)  # no .env of the developer's
    monkeypatch.setattr(say, "create_engine", lambda *_: engine)
    return engine


def test_hibari_speaks_into_a_wav_at_the_rate_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "hello.wav"
    assert main(["say", "Hello, and welcome.", "-o", str(path), "--rate", "8000", "--voice", "onyx"]) == 0
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 8000)
        pcm = np.frombuffer(file.readframes(file.getnframes()), np.int16)
    assert 0.8 < pcm.size / 8000 < 3
    assert pcm.astype(float).std() > 1000
    assert str(path) in capsys.readouterr().out


@pytest.mark.parametrize(("suffix", "rate_hz"), [("wav", 24000), ("mp3", 24000), ("flac", 24000), ("opus", 24000)])
def test_the_name_says_the_format(engine: Engine, tmp_path: Path, suffix: str, rate_hz: int) -> None:
    path = tmp_path / f"x.{suffix}"
    assert main(["say", "abcde", "-o", str(path)]) == 0
    with av.open(str(path)) as container:
        samples = sum(frame.samples * rate_hz // frame.sample_rate for frame in container.decode(audio=0))
    assert samples / rate_hz == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize(("suffix", "size"), [("ulaw", 4000), ("alaw", 4000), ("sln", 8000), ("pcm", 24000)])
def test_files_that_asterisk_plays_have_no_header(engine: Engine, tmp_path: Path, suffix: str, size: int) -> None:
    path = tmp_path / f"x.{suffix}"
    assert main(["say", "abcde", "-o", str(path)]) == 0
    assert path.stat().st_size == size


def test_what_is_left_out_is_told_on_standard_error(
    engine: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["say", "Yes. Unspeakable!", "-o", str(tmp_path / "x.wav")]) == 0
    said = capsys.readouterr()
    assert "left out a sentence" in said.err
    assert "left out" not in said.out


def test_text_from_standard_input(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("ab\n"))
    assert main(["say", "-", "-o", str(tmp_path / "x.wav"), "--speed", "2"]) == 0
    assert engine.spoken == [("ab", "")]
    assert engine.style.speed == 2.0


@pytest.mark.parametrize(("setting", "spoken"), [("true", "five"), ("false", "5")])
def test_numbers_are_written_out_if_the_setting_says_so(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str, spoken: str
) -> None:
    monkeypatch.setenv("TEXT_NORMALIZE", setting)
    assert main(["say", "We have 5 trees.", "-o", str(tmp_path / "x.wav")]) == 0
    assert [text for text, _ in engine.spoken] == [f"We have {spoken} trees."]


def test_words_are_pronounced_as_the_lexicon_says(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lexicon.yaml").write_text("en:\n  SQL: sequel\n")
    monkeypatch.setenv("LEXICON", "lexicon.yaml")
    assert main(["say", "This server is asked in SQL.", "-o", "x.wav"]) == 0
    assert [sentence for sentence, _ in engine.spoken] == ["This server is asked in sequel."]


def test_voice_from_the_settings_unless_given(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICE", "one")
    assert main(["say", "a", "-o", str(tmp_path / "x.wav")]) == 0
    assert main(["say", "a", "-o", str(tmp_path / "x.wav"), "--voice", "two"]) == 0
    assert [voice for _, voice in engine.spoken] == ["one", "two"]


@pytest.mark.parametrize(
    ("arguments", "status", "reason"),
    [
        (["hi", "-o", "x.xyz"], 2, "must end in"),
        (["hi", "-o", "x.opus", "--rate", "44100"], 2, "opus can have"),
        (["hi", "-o", "x.wav", "--speed", "9"], 2, "0.25 to 4.0"),
        (["hi", "-o", "x.wav", "--voice", "bob"], 1, "unknown voice 'bob'; known are"),
        ([" ", "-o", "x.wav"], 1, "nothing to say"),
        (["hi", "-o", "no/such/folder/x.wav"], 1, "No such file"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(
    engine: Engine, capsys: pytest.CaptureFixture[str], arguments: list[str], status: int, reason: str
) -> None:
    assert main(["say", *arguments]) == status
    error = capsys.readouterr().err
    assert reason in error
    assert error.count("\n") == 1
    assert not list(Path().iterdir())
    assert engine.started == engine.closed


def test_the_engine_is_closed_when_it_fails(engine: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    engine.broken = True
    assert main(["say", "hi", "-o", "x.wav"]) == 1
    assert engine.closed == 1


def test_a_wrong_setting_is_the_same_status_as_with_every_command(
    engine: Engine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PORT", "x")
    for command in (["say", "hi", "-o", "x.wav"], ["serve", "--check"]):
        assert main(command) == 2
        assert capsys.readouterr().err.startswith("HTTP_PORT='x': must be")
    assert engine.started == 0
