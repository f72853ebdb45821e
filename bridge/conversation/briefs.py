"""Makes the brief of a warm transfer out of the call that it is about, and notes what the colleague decides."""

from __future__ import annotations

import unicodedata
from typing import Any, Final

from bridge.brains.brain import Transfer, fill
from bridge.brains.brief import Decision
from bridge.conversation.agents.agent import DEFAULT
from bridge.conversation.settings import ConversationSettings
from bridge.conversation.talk import Talk

LAST_ENTRIES: Final = 3
"""How many of the caller's last turns stand for a summary that no model has made."""
MAX_BRIEF_CHARS: Final = 500
"""How much a colleague is told, some half a minute."""
MAX_TOPIC_CHARS: Final = 30
"""How much a telephone shows before the caller's name."""
NO_INPUT_MS: Final = 4_000


def brief_text(talk: Talk, template: str) -> str:
    """Returns what a colleague hears of this call: the model's summary, or else what the caller said last."""
    transfer, transcript = talk.next.transfer or Transfer(""), talk.journal.transcript()
    said = _last(transcript, "user", LAST_ENTRIES)
    caller = talk.variables.get("name") or talk.variables.get("from") or ""
    heard = _last(transcript, "agent", 1)
    told = {"caller": caller, "reason": transfer.reason, "said": said, "heard": heard}
    return fill(template, {**talk.variables, **told, "brief": (transfer.summary or said)[:MAX_BRIEF_CHARS]})


def topic(talk: Talk) -> str:
    """Returns what the telephone shows before the caller's name, in letters that every telephone has.

    Without a reason it is the agent's name; it is empty for the only agent of a server, which has no name of its own.
    """
    name = talk.agent_name if talk.agent_name != DEFAULT else ""
    text = (talk.next.transfer.reason if talk.next.transfer is not None else "") or name
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()[:MAX_TOPIC_CHARS].strip()


def tell_of_brief(talk: Talk) -> None:
    """Tells the call's observers, the web-hook among them, that a colleague hears of the call."""
    transfer, transcript = talk.next.transfer or Transfer(""), talk.journal.transcript()
    talk.journal.tell(
        "transfer.briefed",
        destination=transfer.destination,
        reason=transfer.reason,
        summary=transfer.summary,
        said=_last(transcript, "user", LAST_ENTRIES),
        heard=_last(transcript, "agent", 1),
    )


def tell_of_outcome(talk: Talk, outcome: str) -> None:
    """Tells the call's observers what became of its transfer: taken, or why not."""
    destination = talk.next.transfer.destination if talk.next.transfer is not None else ""
    talk.journal.tell("transfer.done", destination=destination, outcome=outcome)


def decided(talk: Talk, brief: Talk, decision: Decision) -> None:
    """Ends a brief with what the colleague has decided."""
    talk.next.decision = decision
    brief.next.settle(decision)
    brief.call.hang_up()
    if decision == "taken":
        tell_of_outcome(talk, decision)


def settings_of_brief(settings: ConversationSettings) -> ConversationSettings:
    """Returns the settings of an agent for a brief, in which nobody is heard but by keys."""
    quiet = {"no_input_timeout_ms": NO_INPUT_MS, "max_call_s": 0.0, "ringing": "none", "greeting_protection_ms": 0}
    ways = {"fixed_keys": "", "fallback_destination": "", "on_voicemail": "go_on"}
    return settings.model_copy(update={**quiet, **ways})


def _last(transcript: list[dict[str, Any]], who: str, entries: int) -> str:
    texts = [entry["text"] for entry in transcript if entry["who"] == who]
    return " ".join(texts[-entries:])[-MAX_BRIEF_CHARS:]
