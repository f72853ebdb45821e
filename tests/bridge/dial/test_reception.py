"""What `Reception` tells of bytes and the times at which they came."""

import numpy as np
import pytest

from bridge.dial.reception import HEARD_AT_ONCE, VOICED_PEAK, Reception
from bridge.line.audiosocket import Kind, encode

SILENCE = bytes(320)
LOUD = np.full(160, VOICED_PEAK + 1, "<i2").tobytes()
FAINT = np.full(160, -VOICED_PEAK, "<i2").tobytes()


def received(*frames, kind=Kind.SLIN8):
    reception = Reception(8_000)
    for number, frame in enumerate(frames):
        reception.feed(encode(kind, frame), number * 0.020)
    return reception


def test_frames_have_their_times_and_their_places_in_the_audio():
    reception = received(SILENCE, SILENCE, SILENCE)
    assert reception.arrivals_s.tolist() == [0.0, 0.020, 0.040]
    assert reception.positions_s == pytest.approx([0.0, 0.020, 0.040])
    assert reception.duration_s == pytest.approx(0.060)


def test_a_place_is_told_by_the_audio_before_it_whatever_the_frames_rate_and_length():
    reception = Reception(16_000)
    for data in (encode(Kind.SLIN8, bytes(320)), encode(Kind.SLIN16, bytes(640)), encode(Kind.SLIN16, bytes(320))):
        reception.feed(data, 0.0)
    assert reception.positions_s == pytest.approx([0.0, 0.020, 0.040])
    assert reception.duration_s == pytest.approx(0.050)


def test_a_frame_is_voiced_above_minus_50_dbfs():
    assert 20 * np.log10(VOICED_PEAK / 32768) == pytest.approx(-50, abs=0.1)
    assert received(SILENCE, LOUD, FAINT).voiced.tolist() == [False, True, False]


def test_the_most_negative_sample_is_voiced():
    assert received(np.full(160, -32768, "<i2").tobytes()).voiced.tolist() == [True]


def test_voice_is_found_in_frames_of_changing_and_odd_lengths():
    reception = received(SILENCE, LOUD[:100], LOUD[:101], b"", b"\x7f", SILENCE)
    assert reception.voiced.tolist() == [False, True, True, False, False, False]


def test_the_first_and_last_voiced_frame():
    reception = received(SILENCE, LOUD, SILENCE, LOUD, SILENCE)
    assert reception.first_voiced_s(0.0) == 0.020
    assert reception.first_voiced_s(0.020) == 0.060
    assert reception.first_voiced_s(0.060) is None
    assert reception.last_voiced_s(0.0, 0.050) == 0.020
    assert reception.last_voiced_s(0.0, 1.0) == 0.060
    assert reception.last_voiced_s(0.070, 1.0) is None


def test_the_latest_voiced_frame_is_known_at_any_time():
    reception = Reception(8_000)
    assert reception.latest_voiced_s is None
    for number in range(3 * HEARD_AT_ONCE):
        reception.feed(encode(Kind.SLIN8, LOUD if number % 7 == 0 else SILENCE), float(number))
        assert reception.latest_voiced_s == number - number % 7


def test_a_message_has_the_time_of_its_last_byte_and_its_parts_are_noticed():
    reception = Reception(8_000)
    message = encode(Kind.SLIN8, LOUD)
    reception.feed(message[:3], 1.000)
    assert reception.mid_message
    assert len(reception) == 0
    reception.feed(message[3:200], 1.002)
    reception.feed(message[200:], 1.004)
    assert reception.arrivals_s.tolist() == [1.004]
    assert reception.worst_split_ms == pytest.approx(4.0)


def test_whole_messages_are_no_parts():
    assert received(LOUD, LOUD).worst_split_ms == 0


def test_frames_that_lay_unread_together_share_a_time():
    reception = Reception(8_000)
    reception.feed(encode(Kind.SLIN8, LOUD) * 3, 1.0)
    reception.feed(encode(Kind.SLIN8, LOUD), 1.020)
    assert reception.upper_bounds.tolist() == [True, True, False, False]


def test_what_comes_after_a_hang_up_is_counted_and_not_heard():
    reception = Reception(8_000)
    reception.feed(encode(Kind.SLIN8, LOUD) + encode(Kind.HANGUP) + encode(Kind.SLIN8, LOUD), 2.0)
    assert reception.hangup_s == 2.0
    assert reception.after_hangup == 1
    assert len(reception) == 1


def test_kinds_and_sizes_are_counted():
    reception = received(SILENCE, SILENCE)
    reception.feed(encode(Kind.ERROR, b"\x01"), 1.0)
    assert reception.kinds == {Kind.SLIN8: 2, Kind.ERROR: 1}
    assert reception.sizes == {(Kind.SLIN8, 320): 2}


def test_audio_at_another_rate_is_noticed():
    assert received(SILENCE).other_rate_s is None
    assert received(bytes(640), kind=Kind.SLIN16).other_rate_s == 0.0


def test_audio_is_kept_only_if_asked_for():
    assert received(LOUD).audio == []
    reception = Reception(8_000, keep_audio=True)
    reception.feed(encode(Kind.SLIN8, LOUD), 0.0)
    assert reception.audio == [(8_000, LOUD)]
