"""Random streams of AudioSocket's bytes are of every sort, and find what is wrong with a decoder."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.line.audiosocket import Decoder, Kind, Message
from fuzz import fuzz_audiosocket, random_streams
from fuzz.random_streams import inputs, main, try_part

SOME = 4_000


class Impatient(Decoder):
    """Takes a length's low byte for all of it."""

    def feed(self, data: bytes, most: int | None = None) -> list[Message]:
        return [message._replace(payload=message.payload[:255]) for message in super().feed(data, most)]


class Forgetful(Decoder):
    """Loses a kind that comes alone."""

    def feed(self, data: bytes, most: int | None = None) -> list[Message]:
        return super().feed(data if self.mid_message or len(data) != 1 else b"", most)


def test_a_part_is_the_same_everywhere_and_no_other() -> None:
    assert list(inputs(3, 50)) == list(inputs(3, 50)) != list(inputs(4, 50))


def test_the_inputs_are_of_every_sort() -> None:
    drawn = list(inputs(0, SOME))
    messages = [Decoder().feed(data[1:]) for data in drawn]
    assert len(set(drawn)) > 0.95 * SOME
    assert {len(found) for found in messages} >= set(range(8))
    assert {message.kind for found in messages for message in found} >= {int(kind) for kind in Kind}
    assert max(len(message.payload) for found in messages for message in found) >= 320


def test_the_decoder_keeps_the_rules() -> None:
    assert try_part(0, count=SOME) is None


@pytest.mark.parametrize("decoder", [Impatient, Forgetful])
def test_a_decoder_that_does_not_is_found(decoder: type[Decoder], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz_audiosocket, "Decoder", decoder)
    assert try_part(0, count=SOME) is not None


def test_the_command_counts_what_it_has_tried_and_keeps_what_it_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(random_streams, "FOLDER", tmp_path)
    monkeypatch.setattr("sys.argv", ["random_streams", "--inputs", "20000"])
    main()
    assert "20,000 inputs" in capsys.readouterr().out
    monkeypatch.setattr(fuzz_audiosocket, "Decoder", Forgetful)
    with pytest.raises(SystemExit, match=r"python -m fuzz\.fuzz_audiosocket"):
        main()
    (found,) = tmp_path.iterdir()
    with pytest.raises(AssertionError):
        fuzz_audiosocket.check(found.read_bytes())
