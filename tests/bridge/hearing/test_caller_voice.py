"""A voice that is softer than the caller's, or unlike it, is somebody beside them while the agent speaks."""

from __future__ import annotations

import pytest

from bridge.hearing.events import SpeechStarted, SpeechStopped, Voiced
from bridge.hearing.speech_gate import GateRules, SpeechGate
from bridge.hearing.voice_traits import Traits

OWN_DBFS = -24.0


OWN = Traits(pitch=80.0, peaks=6.0)


def heard(
    gate: SpeechGate,
    windows: int,
    dbfs: float,
    *,
    agent_speaks: bool = True,
    p: float = 0.9,
    traits: Traits | None = None,
) -> list[Voiced]:
    """What the gate makes of some windows."""
    events = [gate.push(p, dbfs, agent_speaks=agent_speaks, traits=traits) for _ in range(windows)]
    return [event for event in events if event is not None]


@pytest.fixture
def gate() -> SpeechGate:
    """The gate of a call whose caller has said something to a silent agent."""
    gate = SpeechGate(GateRules(side_talk_db=6))
    heard(gate, 30, OWN_DBFS, agent_speaks=False)
    heard(gate, 20, -80, agent_speaks=False, p=0.0)
    return gate


def test_the_caller_interrupts_and_a_softer_voice_does_not(gate: SpeechGate) -> None:
    assert heard(gate, 40, OWN_DBFS - 10) == []
    assert gate.beside
    assert heard(gate, 15, -80, p=0.0) == []
    assert not gate.beside
    assert len(heard(gate, 2, OWN_DBFS - 4)) == 1, "after 64 ms, as ever"


def test_the_caller_who_speaks_over_the_other_is_heard_from_then_on(gate: SpeechGate) -> None:
    heard(gate, 30, OWN_DBFS - 10)
    begun_ms = gate.at_ms
    (started,) = heard(gate, 4, OWN_DBFS)
    assert isinstance(started, SpeechStarted)
    assert started.audio_start_ms is not None
    assert started.audio_start_ms >= begun_ms - 64, "not from when the other began"
    assert not gate.beside


def test_whoever_interrupts_is_not_taken_for_the_caller_from_then_on(gate: SpeechGate) -> None:
    for _ in range(8):
        assert len(heard(gate, 2, OWN_DBFS - 5)) == 1
        heard(gate, 40, OWN_DBFS - 5, agent_speaks=False)
        heard(gate, 20, -80, agent_speaks=False, p=0.0)
    assert heard(gate, 40, OWN_DBFS - 8) == []


def test_somebody_beside_the_caller_is_not_heard_when_the_agent_ends_meanwhile(gate: SpeechGate) -> None:
    heard(gate, 20, OWN_DBFS - 10)
    assert heard(gate, 20, OWN_DBFS - 10, agent_speaks=False) == []


def test_a_silent_agent_hears_any_voice(gate: SpeechGate) -> None:
    assert len(heard(gate, 10, OWN_DBFS - 15, agent_speaks=False)) == 1


def test_who_talks_on_for_long_means_the_agent(gate: SpeechGate) -> None:
    assert heard(gate, 77, OWN_DBFS - 10) == []
    assert len(heard(gate, 1, OWN_DBFS - 10)) == 1


def test_a_voice_as_faint_as_an_echo_is_not_the_callers_either(gate: SpeechGate) -> None:
    assert heard(gate, 10, -45) == []
    assert gate.beside, "so that its words do not count"
    heard(gate, 15, -80, p=0.0)
    assert not gate.beside


def test_nobody_is_beside_a_caller_who_has_not_spoken_yet() -> None:
    assert len(heard(SpeechGate(GateRules(side_talk_db=6)), 10, -39)) == 1


def test_without_the_setting_every_voice_interrupts() -> None:
    gate = SpeechGate(GateRules())
    heard(gate, 30, OWN_DBFS, agent_speaks=False)
    heard(gate, 20, -80, agent_speaks=False, p=0.0)
    assert len(heard(gate, 10, OWN_DBFS - 12)) == 1


def test_a_caller_who_moves_away_from_the_telephone_interrupts_again_once_he_has_answered(gate: SpeechGate) -> None:
    for _ in range(4):
        assert [type(event) for event in heard(gate, 30, OWN_DBFS - 12, agent_speaks=False)] == [SpeechStarted]
        assert [type(event) for event in heard(gate, 20, -80, agent_speaks=False, p=0.0)] == [SpeechStopped]
    assert len(heard(gate, 10, OWN_DBFS - 12)) == 1


@pytest.fixture
def knowing() -> SpeechGate:
    """The gate of a caller whose pitch and nearness are known too."""
    gate = SpeechGate(GateRules(side_talk_db=8))
    heard(gate, 30, OWN_DBFS, agent_speaks=False, traits=OWN)
    heard(gate, 20, -80, agent_speaks=False, p=0.0)
    return gate


def test_a_caller_who_interrupts_softly_is_heard(knowing: SpeechGate) -> None:
    assert len(heard(knowing, 2, OWN_DBFS - 7, traits=OWN)) == 1


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(Traits(pitch=88.0, peaks=6.0), id="a higher voice"),
        pytest.param(Traits(pitch=70.0, peaks=6.0), id="a lower voice"),
        pytest.param(Traits(pitch=81.0, peaks=3.0), id="a voice across the room"),
    ],
)
def test_another_voice_is_not_heard_at_that_level_and_is_when_it_is_loud(knowing: SpeechGate, other: Traits) -> None:
    assert heard(knowing, 40, OWN_DBFS - 7, traits=other) == []
    assert knowing.beside
    assert len(heard(knowing, 4, OWN_DBFS + 2, traits=other)) == 1


def test_a_caller_who_speaks_higher_than_usual_is_heard(knowing: SpeechGate) -> None:
    assert len(heard(knowing, 2, OWN_DBFS, traits=Traits(pitch=87.0, peaks=6.0))) == 1


def test_sounds_without_a_pitch_tell_nothing_of_the_voice(knowing: SpeechGate) -> None:
    assert len(heard(knowing, 2, OWN_DBFS - 7, traits=Traits(pitch=None, peaks=6.0))) == 1


def test_what_was_heard_before_a_silence_was_another_voice(knowing: SpeechGate) -> None:
    assert heard(knowing, 40, OWN_DBFS - 7, traits=Traits(pitch=88.0, peaks=6.0)) == []
    heard(knowing, 15, -80, p=0.0)
    assert len(heard(knowing, 2, OWN_DBFS - 7, traits=OWN)) == 1


def test_a_voice_is_looked_at_only_where_that_may_change_something() -> None:
    gate = SpeechGate(GateRules(side_talk_db=8))
    assert [gate.compares(agent_speaks=speaks) for speaks in (False, True)] == [False, True]
    heard(gate, 2, OWN_DBFS, agent_speaks=False)
    looks = []
    for _ in range(10):
        looks.append(gate.compares(agent_speaks=False))
        heard(gate, 1, OWN_DBFS, agent_speaks=False)
    assert looks == [True, False] * 5, "to learn how the caller's voice is"
    assert not gate.compares(agent_speaks=True), "it has interrupted already"
    assert not SpeechGate(GateRules()).compares(agent_speaks=True)
