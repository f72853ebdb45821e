"""The echo canceller's core: it learns an echo, keeps the caller, and leaves a call without echo alone."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from bridge.hearing.echo_canceller import EchoCanceller
from bridge.hearing.echo_finder import EchoFinder
from bridge.hearing.gap_filler import GapFiller
from engine.audio import resample
from engine.speech import Pcm
from tests.support.echo_path import EchoPath
from tests.support.voices import caller_says, silence

RATE_HZ = 8_000
FRAME = 160
FRAME_S = 0.02
ECHO_FOUND_S = 14
"""After how long an echo that begins in mid-call is found at the latest, pauses of the agent included."""
AGENT = (
    "Good morning, this is the city museum.", "We are open until six o'clock today.", "How can I help you?",
    "The garden is closed because of the rain.", "Please hold the line while I look that up.",
)  # fmt: skip


@cache
def agent_says() -> Pcm:
    """Some 12 seconds of the agent."""
    pieces = [silence(300)]
    for text in AGENT:
        pieces += [caller_says(text), silence(200)]
    pcm = np.concatenate(pieces)
    return pcm[: len(pcm) // FRAME * FRAME]


def nobody(sent: Pcm) -> Pcm:
    return np.zeros(len(sent), np.int16)


def clean(sent: Pcm, heard: Pcm, canceller: EchoCanceller | None = None, *, frame: int = FRAME) -> Pcm:
    """Returns what is left of what was heard, when both sides come in frames of this size."""
    canceller = canceller or EchoCanceller(RATE_HZ)
    out = []
    for start in range(0, len(heard), frame):
        canceller.sent(sent[start : start + frame].tobytes(), canceller.rate_hz, start / frame * FRAME_S)
        out.append(canceller.push(heard[start : start + frame].tobytes()))
    return np.frombuffer(b"".join(out), np.int16)


@pytest.mark.parametrize("delay_ms", [50, 400])
def test_an_echo_is_due_for_as_long_as_it_is_late(delay_ms: int) -> None:
    """The detector's gate has to stay where it is meanwhile: the agent is silent, and its echo is not."""
    sent, canceller = np.concatenate((agent_says(), silence(1_000))), EchoCanceller(RATE_HZ)
    heard = EchoPath(-15, delay_ms).through(sent, nobody(sent))
    loud = np.flatnonzero(np.abs(heard) > 300) // FRAME
    due = []
    for start in range(0, len(sent) // FRAME * FRAME, FRAME):
        clean(sent[start : start + FRAME], heard[start : start + FRAME], canceller)
        due.append(canceller.echo_due)
    assert all(due[frame] for frame in loud if frame >= 100), "as long as something of it comes"
    assert not any(due[loud[-1] + 15 :]), "and not much longer, because the caller may be quiet"


def test_without_an_echo_none_is_due() -> None:
    sent, canceller = agent_says(), EchoCanceller(RATE_HZ)
    clean(sent, nobody(sent), canceller)
    assert not canceller.echo_due


def level_db(pcm: Pcm) -> float:
    return float(10 * np.log10(np.mean(pcm.astype(np.float64) ** 2) + 1e-3))


@pytest.mark.parametrize("delay_ms", [40, 150, 400, 500])
def test_an_echo_is_silent_within_a_sentence(delay_ms: int) -> None:
    sent = agent_says()
    heard = EchoPath(-15, delay_ms).through(sent, nobody(sent))
    rest = clean(sent, heard)
    assert level_db(heard[24_000:]) - level_db(rest[24_000:]) > 20
    assert level_db(heard[:24_000]) - level_db(rest[:24_000]) > 12, "it is quiet while the canceller learns, too"


def test_the_caller_passes_while_the_agent_speaks() -> None:
    sent = agent_says()
    caller = nobody(sent)
    said = caller_says("Actually, I need a ticket for tomorrow.")
    start = 40_000
    caller[start : start + len(said)] = said
    rest = clean(sent, EchoPath(-15, 150).through(sent, caller))
    said_and_left = [part[start : start + len(said)].astype(np.float64) for part in (caller, rest)]
    error = said_and_left[1] - said_and_left[0]
    assert level_db(said) - 10 * np.log10(np.mean(error**2)) > 15
    assert level_db(rest[start : start + len(said)]) == pytest.approx(level_db(said), abs=0.5)


def test_what_it_has_learnt_outlasts_double_talk() -> None:
    sent = np.tile(agent_says(), 2)
    caller = nobody(sent)
    said = np.tile(caller_says("Hello? Is there anybody who can tell me?"), 2)
    start = len(agent_says()) - len(said)
    caller[start : start + len(said)] = said
    heard = EchoPath(-15, 150).through(sent, caller)
    rest = clean(sent, heard)
    after = slice(start + len(said) + 4_000, start + len(said) + 12_000)
    assert level_db(heard[after]) - level_db(rest[after]) > 15


@pytest.mark.parametrize("change_ms", [20, 60, -60, 200])
def test_it_follows_a_delay_that_changes(change_ms: int) -> None:
    sent = np.tile(agent_says(), 2)
    change = len(agent_says())
    heard = EchoPath(-15, 200).through(sent, nobody(sent), jump=(change, change_ms))
    rest = clean(sent, heard)
    later = slice(change + 24_000, None)
    assert level_db(heard[later]) - level_db(rest[later]) > 15


def test_it_follows_clocks_that_drift() -> None:
    sent = np.tile(agent_says(), 3)
    heard = EchoPath(-15, 150).through(sent, nobody(sent), drift_ppm=10)
    rest = clean(sent, heard)
    assert level_db(heard[-40_000:]) - level_db(rest[-40_000:]) > 25


def test_without_an_echo_the_caller_is_unchanged() -> None:
    sent = agent_says()
    caller = nobody(sent)
    said = caller_says("I would like to book a table for four people on Monday, please.")
    caller[40_000 : 40_000 + len(said)] = said
    heard = EchoPath(-200, 150).through(sent, caller)
    assert np.array_equal(clean(sent, heard)[16_000:], heard[16_000:])


def test_a_few_words_in_the_agents_first_second_are_heard_where_there_is_no_echo() -> None:
    sent = agent_says()
    caller, start = nobody(sent), RATE_HZ * 6 // 10
    said = (resample(caller_says("Can I bring my dog to the museum?"), 8_000, 5_600) * 0.3).astype(np.int16)
    words = slice(start, start + len(said))
    caller[words] = said  # in a higher voice than the agent's
    canceller, pieces = EchoCanceller(RATE_HZ), []
    for at in range(0, len(sent), FRAME):
        pieces.append(clean(sent[at : at + FRAME], caller[at : at + FRAME], canceller))
    rest = np.concatenate(pieces)
    assert not any(len(piece) for piece in pieces[start // FRAME + 2 : start // FRAME + 20]), "it may be an echo"
    assert len(rest) == len(caller), "all of it is passed on in the end"
    assert level_db(caller[words]) - level_db(rest[words]) < 6, "an echo would be hushed by 20 dB"


def test_a_caller_who_was_taken_for_an_echo_is_heard_in_the_next_sentence() -> None:
    sent = agent_says()
    caller = nobody(sent)
    said = caller_says("Can I bring my dog to the museum?")
    again = 5 * RATE_HZ
    for start in (RATE_HZ * 3 // 10, again):
        caller[start : start + len(said)] = said // 2
    canceller, pieces = EchoCanceller(RATE_HZ), []
    for at in range(0, len(sent), FRAME):
        if at == RATE_HZ:
            canceller._finder.lag = 7  # few callers are taken for one, and none of these voices
        pieces.append(clean(sent[at : at + FRAME], caller[at : at + FRAME], canceller))
    words = slice(again, again + len(said))
    assert np.array_equal(np.concatenate(pieces)[words], caller[words])


def test_what_may_be_an_echo_is_not_kept_back_once_the_agent_is_silent() -> None:
    sent = np.concatenate((silence(300), caller_says("Hello."), silence(1_000)))
    sent = sent[: len(sent) // FRAME * FRAME]
    heard, canceller = EchoPath(-10, 100).through(sent, nobody(sent)), EchoCanceller(RATE_HZ)
    last = np.flatnonzero(np.abs(sent) > 50)[-1] // FRAME
    came, kept_back = 0, []
    for number in range(len(sent) // FRAME):
        at = slice(number * FRAME, (number + 1) * FRAME)
        came += len(clean(sent[at], heard[at], canceller))
        if came < (number + 1) * FRAME:
            assert canceller.echo_due, "the detector has not looked at it yet"
            kept_back.append(number)
    assert kept_back
    assert kept_back[-1] <= last + 4
    assert not canceller.echo_due


def test_while_the_agent_is_silent_every_sample_passes() -> None:
    heard = np.random.default_rng(1).integers(-32768, 32767, 16_000).astype(np.int16)
    assert np.array_equal(clean(nobody(heard), heard), heard)


@pytest.mark.parametrize("frame", [1, 80, 99, 160, 333, 480, 1_600])
def test_pieces_of_any_length(frame: int) -> None:
    sent = agent_says()[:80_000]
    heard = EchoPath(-15, 200).through(sent, nobody(sent))
    rest = clean(sent, heard, frame=frame)
    assert len(heard) - len(rest) < FRAME
    assert level_db(heard[40_000:]) - level_db(rest[40_000:]) > 20


@pytest.mark.parametrize("rate_hz", [12_000, 16_000, 24_000, 48_000])
def test_any_rate(rate_hz: int) -> None:
    sent = agent_says()[:72_000]
    heard = EchoPath(-15, 150).through(sent, nobody(sent))
    sent, heard = (resample(side, RATE_HZ, rate_hz) for side in (sent, heard))
    rest = clean(sent, heard, EchoCanceller(rate_hz), frame=rate_hz // 50)
    late = slice(5 * rate_hz, None)
    assert level_db(heard[late]) - level_db(rest[late]) > 20


def test_what_was_sent_at_another_rate() -> None:
    sent = agent_says()[:72_000]
    heard = EchoPath(-15, 150).through(sent, nobody(sent))
    wide = resample(sent, RATE_HZ, 16_000)
    canceller, out = EchoCanceller(RATE_HZ), []
    for start in range(0, len(heard), FRAME):
        canceller.sent(wide[2 * start : 2 * (start + FRAME)].tobytes(), 16_000, start / RATE_HZ)
        out.append(canceller.push(heard[start : start + FRAME].tobytes()))
    rest = np.frombuffer(b"".join(out), np.int16)
    assert level_db(heard[40_000:]) - level_db(rest[40_000:]) > 20


@pytest.mark.parametrize("stall", [2, 10, 40])
def test_a_stall_of_the_network_costs_a_moment_and_no_more(stall: int) -> None:
    sent = np.tile(agent_says(), 2)
    heard = EchoPath(-15, 150).through(sent, nobody(sent))
    canceller, out, waiting = EchoCanceller(RATE_HZ), [], []
    for number, start in enumerate(range(0, len(heard), FRAME)):
        canceller.sent(sent[start : start + FRAME].tobytes(), RATE_HZ, start / RATE_HZ)
        waiting.append(heard[start : start + FRAME].tobytes())
        if not 300 <= number < 300 + stall:
            out.append(canceller.push(b"".join(waiting)))
            waiting.clear()
    rest = np.frombuffer(b"".join(out), np.int16)
    assert len(rest) == len(heard)
    assert level_db(heard[-60_000:]) - level_db(rest[-60_000:]) > 20


def test_silence_that_is_filled_in_for_what_comes_late_costs_nothing() -> None:
    """The sound of a telephone in a Wi-Fi stands still for 160 ms every second, and comes after it was given up."""
    sent = np.tile(agent_says(), 2)
    heard = EchoPath(-15, 150).through(sent, nobody(sent))
    canceller, now_s, rest, waiting = EchoCanceller(RATE_HZ), 0.0, bytearray(), []
    filler = GapFiller(now_s, clean=lambda pcm, _rate_hz: canceller.push(pcm))
    for number, start in enumerate(range(0, len(heard), FRAME)):
        now_s += FRAME_S
        canceller.sent(sent[start : start + FRAME].tobytes(), RATE_HZ, now_s)
        rest += filler.fill(now_s)
        waiting.append(heard[start : start + FRAME].tobytes())
        if not 10 <= number % 50 < 18:
            for frame in waiting:
                rest += filler.push(frame, RATE_HZ, now_s)
            waiting.clear()
    left = np.frombuffer(rest, np.int16)
    assert len(left) > len(heard), "silence was filled in"
    assert level_db(heard[-150_000:]) - level_db(left[-150_000:]) > 20


@pytest.mark.parametrize("seed", [1, 5])
def test_frames_that_are_missing_for_good_move_the_two_sides_together_again(seed: int) -> None:
    sent = np.tile(agent_says(), 3)
    heard = EchoPath(-15, 150, seed).through(sent, nobody(sent))
    canceller, out = EchoCanceller(RATE_HZ), []
    for number, start in enumerate(range(0, len(heard), FRAME)):
        canceller.sent(sent[start : start + FRAME].tobytes(), RATE_HZ, start / RATE_HZ)
        if not 300 <= number < 320:
            out.append(canceller.push(heard[start : start + FRAME].tobytes()))
    rest = np.frombuffer(b"".join(out), np.int16)
    assert level_db(heard[-60_000:]) - level_db(rest[-60_000:]) > 20


def test_a_telephone_that_sends_nothing_while_it_is_quiet_sends_no_echo_when_it_begins_again() -> None:
    sent = np.tile(agent_says(), 2)
    heard = EchoPath(-15, 150).through(sent, nobody(sent)).reshape(-1, FRAME)
    loud = np.sqrt(np.mean(heard.astype(np.float64) ** 2, axis=1)) > 150
    canceller, came, begins, rest = EchoCanceller(RATE_HZ), [], [], bytearray()
    for number, block in enumerate(heard):
        at = number * FRAME
        canceller.sent(sent[at : at + FRAME].tobytes(), RATE_HZ, number * FRAME_S)
        if loud[max(number - 8, 0) : number + 1].any():
            if not loud[max(number - 9, 0) : number].any():
                begins.append(len(came))
            rest += canceller.push(block.tobytes())
            came.append(block)
    left = np.frombuffer(rest, np.int16).reshape(-1, FRAME)
    late = [begin for begin in begins if FRAME_S * begin > 5]
    assert len(late) > 5
    first = [number for begin in late for number in range(begin, begin + 10)]
    assert level_db(np.array(came)[first]) - level_db(left[first]) > 15


@pytest.mark.parametrize("kind", ["silence", "clipping", "a step", "noise", "the agent itself"])
def test_it_survives_whatever_comes(kind: str) -> None:
    sent = agent_says()
    random = np.random.default_rng(2)
    heard = {
        "silence": nobody(sent),
        "clipping": np.where(EchoPath(10, 150).through(sent, nobody(sent)) > 0, 32767, -32768).astype(np.int16),
        "a step": np.full(len(sent), -32768, np.int16),
        "noise": random.integers(-32768, 32767, len(sent)).astype(np.int16),
        "the agent itself": sent,
    }[kind]
    canceller = EchoCanceller(RATE_HZ)
    rest = clean(sent, heard, canceller)
    assert len(rest) == len(heard)
    assert np.abs(rest.astype(np.int32)).max() <= np.abs(heard.astype(np.int32)).max() * 2
    again = np.tile(sent, 1 + -(-ECHO_FOUND_S * RATE_HZ // len(sent)))
    echoed = EchoPath(-15, 150).through(again, nobody(again))
    left = clean(again, echoed, canceller)
    late = slice(-len(sent), None)
    assert level_db(echoed[late]) - level_db(left[late]) > 10, "and learns after it"


def test_an_echo_that_begins_in_mid_call_is_found() -> None:
    """The caller has switched to the loudspeaker, long after it was certain that there was no echo."""
    sent = np.tile(agent_says(), 4)
    canceller = EchoCanceller(RATE_HZ)
    assert np.array_equal(clean(sent, nobody(sent), canceller), nobody(sent)), "nothing is heard, and nothing is made"
    echoed = EchoPath(-15, 150).through(sent, nobody(sent))
    left = clean(sent, echoed, canceller)
    late = slice(ECHO_FOUND_S * RATE_HZ, None)
    assert len(left[late]) > RATE_HZ, "there is something to judge"
    assert level_db(echoed[late]) - level_db(left[late]) > 10


def test_where_there_is_no_echo_it_is_looked_for_at_times_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """The search is most of the work, and most callers have no echo."""
    looks: list[int] = []
    push = EchoFinder.push
    monkeypatch.setattr(EchoFinder, "push", lambda *args, **options: (looks.append(1), push(*args, **options)))
    sent = np.tile(agent_says(), 6)
    clean(sent, nobody(sent), EchoCanceller(RATE_HZ))
    blocks = len(sent) // FRAME
    assert len(looks) < blocks / 2


@pytest.mark.parametrize("later_ms", [-60, 60])
def test_an_echo_that_has_moved_while_the_agent_was_silent_is_hushed_from_its_first_sound_on(later_ms: int) -> None:
    """A telephone's buffer grows and shrinks, and that happens in pauses."""
    sent = np.concatenate((agent_says(), silence(1_500), agent_says()))
    again = len(agent_says()) + 8 * 1_500
    heard = EchoPath(-15, 150).through(sent, nobody(sent), jump=(again - RATE_HZ // 2, later_ms))
    rest = clean(sent, heard)
    begin = again + 8 * (300 + 150 + min(later_ms, 0))
    first_word = slice(begin, begin + 8 * 400)
    assert level_db(heard[first_word]) > -50
    assert level_db(heard[first_word]) - level_db(rest[first_word]) > 15
