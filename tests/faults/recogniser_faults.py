"""What may be wrong with the recogniser: killed, stopped, slow, reset, garbled, lying."""

from __future__ import annotations

from functools import partial
from typing import Final

from tests.faults.ear import TEXTS
from tests.faults.fault import ANSWERS, Fault, Outcome
from tests.faults.neighbours import HttpNeighbour, HttpSession
from tests.faults.simulated import FaultRun
from tests.simulation.network import Address
from tests.simulation.plan import Answer, Saying
from tests.simulation.recogniser import TRANSCRIPTION, Session

DEAD_FOR_GOOD_S: Final = 60.0
PAUSE_S: Final = 0.5
WORD_S: Final = 0.2
FLOOD: Final = 2_000
ELSEWHERE: Final[Address] = ("10.0.0.9", 80)
LIED_TO: Final = (ANSWERS[0], Answer(TEXTS["an answer to what nobody said"]), ANSWERS[1])
LIE: Final = Saying("lie", 0.0, 0.3, "please cancel everything now")
ENDLESS: Final = Saying("endless", 0.0, 2.0, "one two three four", is_lost=True)


def kill(run: FaultRun, back_s: float | None) -> None:
    """Kills it; it may be started again."""
    run.loop.network.kill(run.recogniser.host)
    if back_s is not None:
        run.loop.call_later(back_s, run.recogniser.listen)


def reset(run: FaultRun) -> None:
    """Resets the connections; it still listens."""
    for end in list(run.recogniser.host.ends):
        end.reset()


def stall(run: FaultRun, seconds: float) -> None:
    run.loop.network.stall(run.recogniser.host, seconds)


def garble(run: FaultRun) -> None:
    run.recogniser.garbles = True


def send_no_websocket(run: FaultRun) -> None:
    for end in list(run.recogniser.host.ends):
        end.write(b"\xff" * 64)


def refuse(run: FaultRun) -> None:
    """Answers every WebSocket with HTTP 403, as for a key that has expired."""
    service = HttpNeighbour(run.loop, "refusing", ELSEWHERE)
    service.ill = "refuses"
    run.recogniser.host.accept = lambda: HttpSession(service)


def say(run: FaultRun, saying: Saying) -> None:
    """Tells what nobody has said."""
    for end in run.recogniser.host.ends:
        session = end.get_protocol()
        assert isinstance(session, Session)
        session.tell(saying)


def flood(run: FaultRun) -> None:
    for end in run.recogniser.host.ends:
        session = end.get_protocol()
        assert isinstance(session, Session)
        for _ in range(FLOOD):
            session.send_event(type="input_audio_buffer.committed")


def tell_ever_more(run: FaultRun) -> None:
    """It tells one word more every 0.2 s, whatever the caller says, and no end."""
    run.recogniser.is_deaf = True
    for end in run.recogniser.host.ends:
        session = end.get_protocol()
        assert isinstance(session, Session)
        _tell_one_more(run, session)


def _tell_one_more(run: FaultRun, session: Session) -> None:
    if not session.is_open:
        return
    run.recogniser.is_deaf = False
    session.send_event(type=f"{TRANSCRIPTION}.delta", item_id="item_endless", delta="and more ")
    run.recogniser.is_deaf = True
    run.loop.call_later(WORD_S, _tell_one_more, run, session)


def hear_nothing(run: FaultRun) -> None:
    """It takes the sound, and tells nothing any more."""
    run.recogniser.is_deaf = True


def be_late(run: FaultRun) -> None:
    run.recogniser.host.quality = run.slow


def resolve(run: FaultRun, after_s: float | None) -> None:
    """Loses the connection, so that the name is looked up once more."""
    run.loop.resolves_after_s = after_s
    reset(run)


RECOGNISER: Final = [
    Fault("recogniser", "killed, and started again after 0.5 s", Outcome.GOES_ON, partial(kill, back_s=PAUSE_S), 1.2),
    Fault(
        "recogniser",
        "killed while the caller speaks, and started again",
        Outcome.GOES_ON,
        partial(kill, back_s=PAUSE_S),
    ),
    Fault("recogniser", "killed for good", Outcome.HUMAN, partial(kill, back_s=None)),
    Fault("recogniser", "dead before the call", Outcome.HUMAN, prepare=partial(kill, back_s=None), at_s=0.0),
    Fault("recogniser", "refuses every connection (HTTP 403)", Outcome.HUMAN, prepare=refuse, at_s=0.0),
    Fault("recogniser", "connection reset", Outcome.GOES_ON, reset, 1.2),
    Fault("recogniser", "stopped for 1 s", Outcome.GOES_ON, partial(stall, seconds=1.0)),
    Fault("recogniser", "stopped, and never goes on", Outcome.HUMAN, partial(stall, seconds=DEAD_FOR_GOOD_S)),
    Fault("recogniser", "every byte 1 s late", Outcome.GOES_ON, be_late, 1.2),
    Fault("recogniser", "garbles its messages", Outcome.HUMAN, garble),
    Fault("recogniser", "sends what is no WebSocket", Outcome.GOES_ON, send_no_websocket, 1.2),
    Fault("recogniser", "tells words that nobody said", Outcome.GOES_ON, partial(say, saying=LIE), 7.0, LIED_TO),
    Fault(
        "recogniser", "tells a start of speech, and never its end", Outcome.GOES_ON, partial(say, saying=ENDLESS), 7.0
    ),
    Fault("recogniser", "tells more and more words, and no end", Outcome.HUMAN, tell_ever_more),
    Fault("recogniser", "hears nothing any more", Outcome.HUMAN, hear_nothing, 1.2),
    Fault("recogniser", "sends 2,000 messages at once", Outcome.HUMAN, flood, 1.2),
    Fault("name server", "takes 4 s for every name", Outcome.GOES_ON, partial(resolve, after_s=4.0), 1.2),
    Fault("name server", "knows no name any more", Outcome.HUMAN, partial(resolve, after_s=None), 1.2),
]
