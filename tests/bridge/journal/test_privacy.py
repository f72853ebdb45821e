"""What each mode of PRIVACY keeps of an event, and of what else is told of a call."""

from __future__ import annotations

import json
from typing import Any, Final, get_args

import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel

from bridge.journal.events import JournalEvent, schema
from bridge.journal.privacy import OWN_REASONS, Privacy

MARK: Final = "xyzzyplugh"
KEY: Final = "k" * 32
EVENTS: Final = {
    event.model_fields["type"].annotation.__args__[0]: event for event in get_args(get_args(JournalEvent)[0])
}
OURS: Final = {"call_id": "1b4e28ba-2fa1-11d2-883f-0016d3cca427", "agent_name": "shop", "from_agent": "desk"}
OURS_TOO: Final = {
    "floor": "caller",
    "kind": "speech",
    "service": "llm",
    "tool": "book",
    "language": "de",
    "model": "m",
}
OURS_ALSO: Final = {"id": "u1", "who": "machine", "by": "beep", "outcome": "taken", "time": "2030-01-02T03:04:05.678Z"}
OWN: Final = OURS | OURS_TOO | OURS_ALSO


def marked(kind: str, event: type[BaseModel]) -> dict[str, Any]:
    """An event of this kind with the mark wherever somebody's words or numbers may stand."""
    told: dict[str, Any] = {"type": kind, "number": 1, "at_ms": 5, "monotonic_s": 1.5, **OWN}
    for name, field in event.model_fields.items():
        name = field.alias or name
        if name in told:
            continue
        if field.annotation in (str, str | None):
            told[name] = "8" if name == "digit" else f"{MARK} +1 555 765 4321"
        elif name == "variables":
            told[name] = {"from": "204", "name": MARK, "vip": "15557654321"}
        elif name == "stages":
            told[name] = [{"stage": "model", "start_ms": 1, "end_ms": 2}]
        elif field.annotation is bool:
            told[name] = True
        else:
            told[name] = 7
    if kind in OWN_REASONS:
        told["reason"] = "words"
    return told


@pytest.mark.parametrize(("kind", "event"), EVENTS.items(), ids=EVENTS)
def test_a_strict_line_holds_no_word_and_no_number_and_is_a_line(kind: str, event: type[BaseModel]) -> None:
    told = marked(kind, event)
    kept = Privacy("strict").kept(told)
    text = json.dumps(kept)
    assert MARK not in text
    assert "765" not in text
    assert '"8"' not in text
    Draft202012Validator(schema()).validate(kept)
    own = {"type", "number", "at_ms", "monotonic_s", *OWN, "stages", "took_ms", "interrupted", "start_ms", "end_ms"}
    assert {name: kept[name] for name in own & told.keys()} == {name: told[name] for name in own & told.keys()}
    assert kept.get("reason", "words") == ("words" if kind in OWN_REASONS or "reason" not in told else "")


@pytest.mark.parametrize(("kind", "event"), EVENTS.items(), ids=EVENTS)
def test_a_line_of_routing_holds_words_and_no_number(kind: str, event: type[BaseModel]) -> None:
    told = marked(kind, event)
    kept = Privacy("routing", KEY).kept(told)
    text = json.dumps(kept)
    assert "765" not in text
    assert '"204"' not in text
    assert '"8"' not in text
    assert kept.get("text", MARK).startswith(MARK)
    Draft202012Validator(schema()).validate(kept)


@pytest.mark.parametrize("privacy", [Privacy("strict"), Privacy("routing", KEY)], ids=lambda privacy: privacy.mode)
@pytest.mark.parametrize(("kind", "event"), EVENTS.items(), ids=EVENTS)
def test_what_the_server_has_measured_and_counted_stays(kind: str, event: type[BaseModel], privacy: Privacy) -> None:
    """A number of a new field would be hidden: its name says that it is a measure, or it is added to the counts."""
    told = marked(kind, event)
    for name, value in told.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            told[name] = 15_557_654_321
    kept = privacy.kept(told)
    assert {name: value for name, value in kept.items() if not isinstance(value, str | dict)} == {
        name: value for name, value in told.items() if not isinstance(value, str | dict)
    }


FOREIGN: Final[dict[str, Any]] = {
    "account": 15557654321,
    "balance": 15557654321.0,
    "guests": 4,
    "sure": True,
    "nobody": None,
    "found": [15557654321, {"15557654321": {"at_ms": 15557654321}}],
    "answer": {f"{MARK} 15557654321": {"x": f"{MARK}"}, "number": 15557654321, "from": "204"},
    "variables": {"_15557654321": MARK},
}
"""What no event has today: numbers that are no measures, and objects with names of their own."""


def test_numbers_and_names_of_others_are_hidden_like_texts() -> None:
    kept = Privacy("strict").kept({"type": "note", **FOREIGN})
    assert kept == {
        "type": "note",
        "account": 0,
        "balance": 0,
        "guests": 0,
        "sure": True,
        "nobody": None,
        "found": [0, {}],
        "answer": {},
        "variables": {},
    }
    routing = Privacy("routing", KEY)
    kept = routing.kept({"type": "note", **FOREIGN})
    hashed = routing.hashed("15557654321")
    assert kept == {
        "type": "note",
        "account": hashed,
        "balance": hashed,
        "guests": 4,
        "sure": True,
        "nobody": None,
        "found": [hashed, {hashed: {"at_ms": hashed}}],
        "answer": {f"{MARK} {hashed}": {"x": MARK}, "number": hashed, "from": routing.hashed("204")},
        "variables": {f"_{hashed}": MARK},
    }


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 1e40, 7, 3.5])
def test_a_number_that_is_no_telephone_number_stays(number: float) -> None:
    kept = Privacy("routing", KEY).kept({"type": "note", "value": number})["value"]
    assert repr(kept) == repr(number)


def test_off_keeps_the_very_event() -> None:
    told = {"type": "dtmf", "digit": "8"}
    assert Privacy().kept(told) is told


def test_a_number_has_one_hash_however_it_is_written_and_another_with_another_key() -> None:
    privacy = Privacy("routing", KEY)
    forms = ("+1 555 765 4321", "15557654321", "1-555-765-4321", "1 (555) 765.4321")
    hashes = {privacy.kept({"type": "caller.changed", "from": form})["from"] for form in forms}
    assert len(hashes) == 1
    (hashed,) = hashes
    assert privacy.kept_text("Call +1 555 765 4321, please.") == f"Call {hashed}, please."
    assert hashed.startswith("num_")
    assert Privacy("routing", "q" * 32).hashed("15557654321") != hashed
    assert privacy.hashed("204") != privacy.hashed("205")
    assert privacy.hashed("alice") == privacy.hashed("Alice")


@pytest.mark.parametrize("number", ["4111111111111111", "4111 1111 1111 1111", "4111-1111-1111-1111", "5557654"])
def test_numbers_of_cards_are_numbers_too(number: str) -> None:
    privacy = Privacy("routing", KEY)
    assert privacy.kept_text(f"It is {number}.") == f"It is {privacy.hashed(number)}."


@pytest.mark.parametrize(
    "written",
    [
        "call me\\n5557654321",  # as a tool's arguments have a line's end
        "555\u00a0765\u00a04321",
        "555–765–4321",
        "555\\u2011765\\u20114321",
        "555 - 765 - 4321",
        "Tel.5557654321",
        "sip:u5557654321@x",
    ],
)
def test_a_number_is_found_whatever_stands_beside_or_between_its_digits(written: str) -> None:
    privacy = Privacy("routing", KEY)
    kept = privacy.kept_text(written)
    assert privacy.hashed("5557654321") in kept
    assert "4321" not in kept


@pytest.mark.parametrize(
    "text",
    ["Two at 19:30, please.", "It costs 1250.50 euros.", "On 2030-01-02.", "Order 471123.", "1b4e28ba-2fa1-11d2-883f"],
)
def test_what_is_no_telephone_number_stays(text: str) -> None:
    assert Privacy("routing", KEY).kept_text(text) == text


def test_what_is_told_at_the_end_of_a_call_goes_by_the_same_rules() -> None:
    told = {
        "id": "1b4e28ba-2fa1-11d2-883f-0016d3cca427",
        "variables": {"from": "15557654321", "agent": MARK},
        "transcript": [{"who": "user", "text": MARK, "start_ms": 1, "end_ms": 2, "trace": {"transcript_ms": 5}}],
        "keys": [{"digit": "8", "at_ms": 7}],
        "tools": [{"tool": "book", "arguments": MARK, "result": MARK, "took_ms": 5}],
        "handovers": [{"from_agent": "desk", "agent_name": "shop", "reason": MARK, "at_ms": 9}],
        "recording": "/var/recordings/15557654321.wav",
        "dtmf": "864",
        "failed": None,
        "interrupt_to_silence_ms": [1.5],
    }
    assert Privacy("strict").kept(told) == {
        "id": "1b4e28ba-2fa1-11d2-883f-0016d3cca427",
        "variables": {},
        "transcript": [{"who": "user", "text": "", "start_ms": 1, "end_ms": 2, "trace": {"transcript_ms": 5}}],
        "keys": [{"digit": "?", "at_ms": 7}],
        "tools": [{"tool": "book", "arguments": "", "result": "", "took_ms": 5}],
        "handovers": [{"from_agent": "desk", "agent_name": "shop", "reason": "", "at_ms": 9}],
        "recording": "/var/recordings/15557654321.wav",
        "dtmf": "???",
        "failed": None,
        "interrupt_to_silence_ms": [1.5],
    }
