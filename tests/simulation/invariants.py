"""What has to be true of every run, whatever failed in it. Each check returns what is wrong, in a line each."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final

from bridge.conversation.conversation import Conversation
from tests.simulation.caller import Caller
from tests.simulation.heard import levels_of
from tests.simulation.plan import Plan
from tests.simulation.voice import SimulatedEngine, Word

SURELY: Final = 0.95
"""Whoever has heard so much of a word has heard it."""
HARDLY: Final = 0.4
"""Whoever has heard less of it has not. Between the two, half of it counts, of what its length was thought to be."""
RECOVERY_S: Final = 1.0
"""How long after our process stood still a frame may still be missing, or come sooner."""
CUT_S: Final = 0.005
"""How long after a cut a stream may still be open."""
MOST_IGNORED: Final = 2
"""So many words may be taken for a listener's noise while the agent speaks (MIN_INTERRUPT_WORDS)."""
HEARD_S: Final = 0.5
"""How long after its UUID a call is listened to, whatever the network."""
TOLD_S: Final = 1.0
"""How long after its last word the model has been told it."""


def line_problems(caller: Caller, plan: Plan, start_s: float, end_s: float) -> list[str]:
    """One frame a tick from the accept to the close, unless the connection had no room, and never a burst."""
    closed_s = caller.ours.closed_s
    excused = [
        (start_s + fault.at_s - 0.05, start_s + fault.at_s + fault.lasts_s + RECOVERY_S)
        for fault in plan.faults
        if fault.kind == "we stand still"
    ]
    gaps = caller.watch.gaps(closed_s if closed_s is not None else end_s, excused, caller.ours.blocked)
    return [f"frames: {problem}" for problem in (*caller.watch.problems, *gaps[:3])]


def sound_problems(caller: Caller, engine: SimulatedEngine) -> list[str]:
    """All that is heard was made for this call, in the order in which it was made, and no part of it twice."""
    told, last = [], 0
    own = {bare(word) for answer in caller.plan.answers for word in answer.text.split()} | engine.shared
    totals: dict[int, int] = {}
    for level, samples in levels_of(caller.watch.frames):
        word = engine.words.get(level)
        if word is None:
            told.append(f"sound: level {level}, which nobody made")
            continue
        if level not in engine.apology:
            if level < last:
                told.append(f"sound: {word.text!r} was heard after a later word")
            last = level
        if bare(word.text) not in own:
            told.append(f"sound: {word.text!r} is not this call's")
        totals[level] = totals.get(level, 0) + samples
    for level, samples in totals.items():
        made = engine.words[level].made
        if samples > made:
            told.append(f"sound: {samples} samples of {engine.words[level].text!r}, of which {made} were made")
    return told


def wire_problems(caller: Caller) -> list[str]:
    """What came is what was sent, from its beginning."""
    sent = b"".join(caller.watch.frames) + (b"\0\0\0" if caller.watch.hung_up_s is not None else b"")
    return [] if sent.startswith(caller.heard) else ["wire: what came is not what was sent"]


def history_problems(caller: Caller, engine: SimulatedEngine, conversation: Conversation | None) -> list[str]:
    """The model's history and the transcript say what was heard, all of it and no more."""
    if conversation is None:
        return []
    totals: dict[int, int] = {}
    for level, samples in levels_of(caller.watch.frames):
        if level in engine.words and level not in engine.apology:
            totals[level] = totals.get(level, 0) + samples
    heard = [(engine.words[level], samples) for level, samples in totals.items()]
    history = [
        message["content"] for message in conversation.agent.brain.history.messages() if message["role"] == "assistant"
    ]
    transcript = [entry.text for entry in conversation.journal.entries if entry.who == "agent"]
    return [
        *(f"history: {problem}" for problem in _compared(heard, history)),
        *(f"transcript: {problem}" for problem in _compared(heard, transcript)),
    ]


def cut_problems(caller: Caller, engine: SimulatedEngine, conversation: Conversation | None) -> list[str]:
    """What the caller has interrupted is not made any more."""
    if conversation is None:
        return []
    own = {bare(word) for answer in caller.plan.answers for word in answer.text.split()}
    cuts_s = [
        conversation.call.started_at + entry.end_ms / 1000
        for entry in conversation.journal.entries
        if entry.who == "agent" and entry.interrupted
    ]
    return [
        f"cut: {stream.sentence!r} was made for {(stream.ended_s - cut_s) * 1000:.0f} ms after the cut"
        for stream in engine.sentences
        for cut_s in cuts_s
        if stream.listener in (str(caller.id), "")  # two calls may have the same words
        and stream.began_s < cut_s < stream.ended_s - CUT_S
        and all(bare(word) in own - engine.shared for word in stream.sentence.split())
    ]


def answer_problems(caller: Caller, plan: Plan, requests: list[list[dict[str, Any]]]) -> list[str]:
    """Where nothing fails, the model is told all that the caller says."""
    if plan.faults or caller.plan.overlaps or caller.watch.hung_up_s is not None:
        return []
    if any(saying.digit for saying in caller.plan.sayings):
        return []  # what is said with keys waits for more of them
    told = {word for messages in requests for message in messages for word in (message["content"] or "").split()}
    return [
        f"words: the model was never told {saying.words!r}"
        for saying in caller.plan.sayings
        if len(saying.words.split()) > MOST_IGNORED
        and not saying.is_lost
        and saying.at_s > caller.plan.uuid_after_s + HEARD_S
        and saying.at_s + saying.lasts_s + saying.after_s + TOLD_S < caller.plan.lasts_s
        and not set(saying.words.split()) <= told
    ]


def _compared(heard: Iterable[tuple[Word, int]], texts: Iterable[str | None]) -> list[str]:
    said = [bare(word) for text in texts for word in (text or "").split()]
    places = {0}  # how many of the words said may have been accounted for by now
    for word, samples in heard:
        share = samples / word.samples
        before, places = places, set()
        if share < SURELY:
            places |= before
        if share >= HARDLY:
            places |= {place + 1 for place in before if said[place : place + 1] == [bare(word.text)]}
        if not places:
            rest = " ".join(said[max(before) :]) or "-"
            return [f"{word.text!r} was heard ({share:.0%} of it) and is not in it, but {rest}"]
    return [] if len(said) in places else [f"{' '.join(said[max(places) :])!r} is in it and was not heard"]


@lru_cache(4_096)
def bare(word: str) -> str:
    """Returns a word without its punctuation."""
    return re.sub(r"\W", "", word).lower()


def counted(what: str, left: Iterable[Any]) -> list[str]:
    """Returns a problem where something is left that should not be."""
    names = sorted(map(str, left))
    return [f"left over: {len(names)} {what}: {', '.join(names)[:300]}"] if names else []
