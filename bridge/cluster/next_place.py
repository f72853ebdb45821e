"""Where the dialplan of one of several bridges goes on when a call is over."""

from __future__ import annotations

from typing import Final

from bridge.conversation.talk import Talk
from bridge.line.call import CALLER_HUNG_UP, LOST, State

CUT: Final = "cut-off"
"""What a dialplan is told of a call whose connection was lost in the middle of it. It is no place in any dialplan."""


def next_place(talk: Talk) -> str:
    """Returns where the call goes; CUT where its connection was closed and nobody had said where it goes.

    A caller who hangs up has no dialplan that asks. So one that asks has its caller still, and something between it and
    this bridge has closed the connection: a proxy that was killed, or that takes a bridge for down that is only slow.
    """
    call = talk.call
    is_closed = call.state is State.ENDED and call.end_reason.startswith((CALLER_HUNG_UP, LOST))
    return CUT if is_closed and talk.next.is_open else str(talk.next)
