"""Which faults of a server are found from the times at which its bytes came."""

import numpy as np

from bridge.dial.caller import Caller, Close
from bridge.dial.conformance import FIRST_FRAME_MS, LONGEST_BURST, RATE_KNOWN_MS, Fault, faults
from bridge.line.audiosocket import Kind, encode

SILENCE = encode(Kind.SLIN8, bytes(320))
LOUD = encode(Kind.SLIN8, np.full(160, 8_000, "<i2").tobytes())
WIDE = encode(Kind.SLIN16, bytes(640))
HANGUP = encode(Kind.HANGUP)
SPLIT_S = 0.006


def call(*came, rate_hz=8_000, begins_s=0.0):
    """Returns a call that the server ends properly after these bytes, which come 20 ms apart where no time is given."""
    caller = Caller(rate_hz=rate_hz)
    at_s = begins_s
    for each in came:
        data, at_s = each if isinstance(each, tuple) else (each, at_s)
        caller.received.feed(data, at_s)
        at_s += 0.020
    caller.received.feed(HANGUP, at_s)
    caller.hung_up_s = caller.closed_s = at_s
    caller.by_server, caller.close = True, Close.EOF
    return caller


def rules(*came, **how):
    return [fault.rule for fault in faults(call(*came, **how))]


def test_a_server_that_conforms_has_no_faults():
    assert rules(SILENCE, SILENCE, *[LOUD] * 10) == []


def test_a_burst_is_found():
    found = rules(LOUD * (LONGEST_BURST + 4), SILENCE)
    assert "sends bursts: Asterisk passes them on, and the phone's jitter buffer overflows" in found
    assert "faster than real time: the phone throws away what it cannot hold" in found


def test_a_pause_in_the_clock_is_found():
    found = rules(SILENCE, SILENCE, (SILENCE, 0.220))
    assert "does not keep sending where there is no speech" in found
    assert "slower than real time: the caller hears holes" in found


def test_a_message_in_parts_is_found():
    parts = (SILENCE[:3], 0.020), (SILENCE[3:], 0.020 + SPLIT_S)
    assert rules(SILENCE, *parts) == ["sends messages in parts: Asterisk drops the call at 5 ms"]


def test_kinds_that_asterisk_does_not_take_are_found():
    found = faults(call(SILENCE, encode(Kind.DTMF, b"1") + encode(Kind.ERROR, b"\x01"), SILENCE))
    rule = "sends what is neither audio nor 0x00: Asterisk drops the call"
    assert found == [Fault(rule, "1 of kind 0x03, 1 of kind 0xff")]


def test_empty_and_oddly_sized_audio_is_found():
    assert rules(SILENCE, encode(Kind.SLIN8), encode(Kind.SLIN8, bytes(480))) == [
        "sends audio messages without audio: Asterisk drops the call",
        "sends messages that are not 20 ms: Asterisk makes one RTP packet of each",
    ]


def test_another_rate_than_the_callers_is_found():
    frames = [SILENCE] * (RATE_KNOWN_MS // 20 + 2)
    assert rules(*frames) == []
    assert rules(*frames, rate_hz=16_000) == ["answers in another kind than the caller's: old Asterisks drop the call"]


def test_the_wrong_rate_before_the_caller_was_heard_is_no_fault():
    assert rules(*[SILENCE] * 3, *[WIDE] * 3, rate_hz=16_000) == []


def test_a_late_first_frame_and_none_at_all_are_found():
    late_s = FIRST_FRAME_MS / 1000 + 0.030
    rule = "does not send silence from the start: Asterisk drops the call after 2 s"
    assert rules(SILENCE, begins_s=late_s) == [rule]
    assert rules(begins_s=late_s) == [rule]


def test_spacing_is_not_judged_by_a_caller_that_was_late_itself():
    caller = call(LOUD * (LONGEST_BURST + 4), (SILENCE[:3], 0.020), (SILENCE[3:], 0.020 + SPLIT_S))
    judged = {"sends bursts", "sends messages in parts"}
    assert judged <= {fault.rule.partition(":")[0] for fault in faults(caller)}
    caller.late_s = 0.5
    assert not judged & {fault.rule.partition(":")[0] for fault in faults(caller)}
