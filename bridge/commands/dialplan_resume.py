"""The part of the dialplan that has another server go on with the call of one that is lost."""

from __future__ import annotations

from typing import Final

CUTS: Final = 3
"""How often one call may go on elsewhere: what makes a server fail may come with the call."""
SPARE: Final = (r"${CUT(TS_SPARES,\,,$[${TS_CUTS} * 2 - 1])}", r"${CUT(TS_SPARES,\,,$[${TS_CUTS} * 2])}")
"""Id and token of a call that goes on, where there are tokens."""
WAS_CUT: Final = ' same => n,GotoIf($["${GOSUB_RETVAL}" = "cut"]?cut)\n'
_CUT: Final = """
; A server was lost in the middle of the call: whichever server takes it goes on with what was said so far.
 same => n(cut),Set(TS_CUTS=$[${TS_CUTS} + 1])
 same => n,GotoIf($[${TS_CUTS} > @CUTS@]?fallback)
 same => n,Set(TS_AGAIN=&continues=${TS_CALL}&cut_off=1)
@NEW@ same => n,Set(TS_NEXT=)
 same => n,Goto(first)
"""
_IS_CUT: Final = """ same => n,GotoIf($["${TS_NEXT}" = "cut-off"]?cut)
 same => n,GotoIf($["${TS_NEXT}" != ""]?known)
 same => n,GotoIf($["${CURL(${ARG1}/health):0:1}" = ""]?cut)
 same => n(known),NoOp()
"""
_CUT_OFF: Final = """ same => n(cut),Log(WARNING,Talkspurt at ${ARG1} was lost in the middle of the call)
 same => n,Set(TS_NEXT=)
 same => n,Return(cut)
"""


def resume_values(resume: bool, new_call: str, spares: str) -> dict[str, str]:
    """Returns what stands for these parts in the dialplan. Without `resume` it is as if there were none."""
    if not resume:
        return {**dict.fromkeys(("SPARES", "CUT", "WAS_CUT", "IS_CUT", "CUT_OFF"), ""), "HUNG": "taken"}
    cut = _CUT.replace("@CUTS@", str(CUTS)).replace("@NEW@", new_call)
    start = f" same => n,Set(TS_CUTS=0)\n{spares}"
    return {"SPARES": start, "CUT": cut, "WAS_CUT": WAS_CUT, "IS_CUT": _IS_CUT, "CUT_OFF": _CUT_OFF, "HUNG": "cut"}
