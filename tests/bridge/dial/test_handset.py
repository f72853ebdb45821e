"""What a caller sends, tick by tick."""

import pytest

from bridge.dial.handset import DIGIT_TICKS, Handset
from bridge.line.audiosocket import KIND_OF_RATE, Decoder, Kind, Message

SILENCE = Message(Kind.SLIN8, bytes(320))


def ticks(handset, count):
    """Returns the message of each tick, or None where there was none."""
    messages = []
    for _ in range(count):
        decoded = Decoder().feed(handset.tick())
        assert len(decoded) <= 1
        messages.append(decoded[0] if decoded else None)
    return messages


@pytest.mark.parametrize("rate_hz", sorted(KIND_OF_RATE))
def test_silence_is_sent_at_the_calls_own_rate(rate_hz):
    assert ticks(Handset(rate_hz), 1) == [Message(KIND_OF_RATE[rate_hz], bytes(rate_hz // 50 * 2))]


def test_speech_is_cut_into_frames_and_followed_by_silence():
    handset = Handset(8_000)
    handset.speak(b"\x01" * 320 + b"\x02" * 100)
    assert handset.speaking
    assert ticks(handset, 3) == [
        Message(Kind.SLIN8, b"\x01" * 320),
        Message(Kind.SLIN8, b"\x02" * 100 + bytes(220)),
        SILENCE,
    ]
    assert not handset.speaking


def test_the_line_changes_what_is_sent_and_kept():
    handset = Handset(8_000, keep_audio=True)
    handset.line = lambda frame: b"\x07" * len(frame)
    handset.speak(b"\x01" * 320)
    assert ticks(handset, 2) == [Message(Kind.SLIN8, b"\x07" * 320)] * 2
    assert handset.spoken == b"\x07" * 640


def test_it_tells_when_what_is_said_next_will_begin():
    handset = Handset(8_000)
    assert handset.due_ticks == 0
    handset.speak(b"\x01" * 400)
    assert handset.due_ticks == 2
    ticks(handset, 5)
    assert handset.due_ticks == 5


def test_repeated_speech_does_not_end():
    handset = Handset(8_000)
    handset.speak(b"\x01" * 320 + b"\x02" * 320, repeat=True)
    assert [message.payload[0] for message in ticks(handset, 5)] == [1, 2, 1, 2, 1]


def test_a_digit_is_sent_at_its_end_and_no_audio_while_it_lasts():
    handset = Handset(8_000)
    handset.press("5#")
    pressed = [None] * (DIGIT_TICKS - 1)
    pause = [SILENCE] * DIGIT_TICKS
    assert ticks(handset, 4 * DIGIT_TICKS + 1) == [
        *pressed,
        Message(Kind.DTMF, b"5"),
        *pause,
        *pressed,
        Message(Kind.DTMF, b"#"),
        *pause,
        SILENCE,
    ]


def test_speech_waits_while_a_digit_is_pressed():
    handset = Handset(8_000, keep_audio=True)
    handset.press("1")
    handset.speak(b"\x01" * 320)
    ticks(handset, DIGIT_TICKS + 1)
    assert handset.spoken == bytes(320 * DIGIT_TICKS) + b"\x01" * 320
