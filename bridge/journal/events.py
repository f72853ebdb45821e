"""The events of a call's journal, one for each line of JSON. They say what a reader may rely on."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, get_args

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter

VERSION: Final = 1
"""The version of the form. It grows where a field changes its meaning or goes, not where one is added."""

Milliseconds = Annotated[int, Field(ge=0)]
"""A time since the call was answered, or how long something took."""
Floor = Literal["nobody", "caller", "agent", "both"]
ActKind = Literal["speech", "backchannel", "vocal_tic", "side_talk"]
StageName = Literal[
    "end_of_turn", "recogniser", "model", "first_sentence", "first_sound", "first_frame", "writing", "making", "playing"
]


class Line(BaseModel):
    """What each line has. A reader passes over fields and types that it does not know."""

    model_config = ConfigDict(extra="allow", populate_by_name=True)

    type: str
    call_id: str
    number: int = Field(0, ge=1, description="which line of the journal it is, from 1 on")
    at_ms: Milliseconds = Field(description="when it was told, since the call was answered")
    monotonic_s: float = Field(0.0, description="the same moment on the server's monotonic clock")
    time: AwareDatetime | None = Field(None, description="the same moment by the time of day, in UTC")


class Stage(BaseModel):
    """One stage of a turn: what the caller waited for, from its beginning to its end."""

    stage: StageName
    start_ms: int
    end_ms: int


class CallStarted(Line):
    """The call was answered. It is a journal's first line."""

    type: Literal["call.started"]
    journal_version: int = Field(1, description="the version of the form")
    from_: str | None = Field(None, alias="from")
    to: str | None = None
    agent_name: str = "default"
    model: str = Field("", description="the language model that answers, by its name in the settings")
    variables: dict[str, str] = Field(default_factory=dict)


class AnsweredBy(Line):
    type: Literal["call.answered_by"]
    who: str
    by: str


class HandedOver(Line):
    """Another agent has the call from now on."""

    type: Literal["call.handed_over"]
    from_agent: str
    agent_name: str
    model: str = Field("", description="the language model that answers from now on")
    reason: str = ""


class CallerChanged(Line):
    """A colleague has transferred somebody else to this call."""

    type: Literal["caller.changed"]
    from_: str = Field(alias="from")
    name: str = ""


class CallerStarted(Line):
    """The caller was heard to speak."""

    type: Literal["caller.started"]
    start_ms: Milliseconds = Field(description="when that began")


class CallerStopped(Line):
    type: Literal["caller.stopped"]
    end_ms: Milliseconds = Field(description="when the caller fell silent, which is known a little later")


class FloorChanged(Line):
    """Somebody else may speak now: an agent has the floor from the first frame of its turn to the last."""

    type: Literal["floor.changed"]
    floor: Floor


class UserSaid(Line):
    type: Literal["transcript.user"]
    text: str
    start_ms: Milliseconds
    end_ms: Milliseconds


class AgentSaid(Line):
    """A turn of the agent is over: what the caller heard of it."""

    type: Literal["transcript.agent"]
    text: str
    interrupted: bool
    unheard: str = Field("", description="what the agent would have said after it")
    start_ms: Milliseconds
    end_ms: Milliseconds


class ResponseStarted(Line):
    """The first frame of the agent's turn leaves."""

    type: Literal["response.started"]
    id: str


class ResponsePaused(Line):
    """The agent fell silent at a sound of the caller's, and keeps its place."""

    type: Literal["response.paused"]
    text: str
    audio_end_ms: Milliseconds = Field(description="how much of the utterance was played")


class ResponseResumed(Line):
    """The sound was nothing: the agent goes on. Such a barge-in was a false one."""

    type: Literal["response.resumed"]


class ResponseInterrupted(Line):
    """The rest of the agent's turn is dropped."""

    type: Literal["response.interrupted"]
    text: str
    audio_end_ms: Milliseconds
    reason: str


class ResponseDone(Line):
    """All of the agent's turn was heard."""

    type: Literal["response.done"]
    text: str


class AgentSilenced(Line):
    """How long the agent's last sound came after the signal that silenced it."""

    type: Literal["agent.silenced"]
    silence_ms: float


class TurnDone(Line):
    """When a turn of the agent's reached which stage, in ms since the call was answered."""

    type: Literal["turn.done"]
    turn: int = Field(ge=1, description="which turn of the agent's it is")
    interrupted: bool
    stages: list[Stage]
    response_ms: int | None = Field(None, description="from the caller's last sound to the agent's first frame")


class ToolDone(Line):
    """A tool has answered; it was called `took_ms` before that."""

    type: Literal["tool.done"]
    tool: str
    arguments: str
    result: str
    took_ms: Milliseconds


class Dtmf(Line):
    type: Literal["dtmf"]
    digit: str


class HoldBegan(Line):
    type: Literal["hold.began"]
    audio_start_ms: Milliseconds | None = None


class HoldEnded(Line):
    type: Literal["hold.ended"]


class LanguageSwitched(Line):
    type: Literal["language.switched"]
    language: str


class TransferBriefed(Line):
    """A colleague hears what the call is about."""

    type: Literal["transfer.briefed"]
    destination: str
    reason: str = ""
    summary: str = ""
    said: str = ""
    heard: str = ""


class TransferDone(Line):
    type: Literal["transfer.done"]
    destination: str
    outcome: str


class Fault(Line):
    """A service that the call needs has failed."""

    type: Literal["fault"]
    service: str
    problem: str


class CallEnded(Line):
    """The call is over; only the lines of a warm transfer may follow."""

    type: Literal["call.ended"]
    reason: str
    next: str = Field("", description="where the dialplan goes on")
    underrun_frames: int = Field(0, ge=0, description="frames of silence inside speech that was not made in time")


class CallerAct(Line):
    """What somebody knows of a sound of the caller's: a scripted caller, or who has listened to the recording."""

    type: Literal["caller.act"]
    kind: ActKind
    text: str = ""
    start_ms: Milliseconds
    end_ms: Milliseconds


JournalEvent = Annotated[
    CallStarted | AnsweredBy | HandedOver | CallerChanged | CallerStarted | CallerStopped | FloorChanged | UserSaid
    | AgentSaid | ResponseStarted | ResponsePaused | ResponseResumed | ResponseInterrupted | ResponseDone
    | AgentSilenced | TurnDone | ToolDone | Dtmf | HoldBegan | HoldEnded | LanguageSwitched | TransferBriefed
    | TransferDone | Fault | CallEnded | CallerAct,
    Field(discriminator="type"),
]  # fmt: skip
EVENT: Final[TypeAdapter[JournalEvent]] = TypeAdapter(JournalEvent)
KINDS: Final = frozenset(
    get_args(event.model_fields["type"].annotation)[0] for event in get_args(get_args(JournalEvent)[0])
)
"""The types that this version knows."""


def schema() -> dict[str, Any]:
    """Returns the JSON schema of one line."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "One line of a call's journal",
        **EVENT.json_schema(),
    }
