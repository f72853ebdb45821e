"""What schemathesis sends where a recording is wanted: one that can be used, half of the time.

There are few others, for each is decoded in a process of its own. Random bytes would all be refused for one reason.
And a text always leaves something to say, which a schema cannot ask for.
"""

from __future__ import annotations

import base64
import io
import os
from typing import Any

import numpy as np
import schemathesis
import soundfile
from hypothesis import strategies as st

from engine.markup import without_markup
from engine.speech import Pcm, Style
from tests.support.draws import SEED, forget_constants
from tests.support.tone_engine import RATE_HZ, sound_of

if SEED not in os.environ:
    forget_constants()


def _wav(pcm: Pcm) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, pcm, RATE_HZ // 3, format="WAV")
    return file.getvalue()


_SOUND = sound_of("A recording that lasts long enough. " * 2, Style())[::3]
_USABLE = _wav(_SOUND)
_REFUSED = [
    b"",
    b"\0",
    b"no recording at all",
    bytes(range(100)),
    _USABLE[:30],  # ends within its head
    _USABLE[:44],  # a head without a sound
    _wav(_SOUND[:400]),  # too short
    _wav(np.zeros_like(_SOUND)),  # silent
]

schemathesis.openapi.format("binary", st.just(_USABLE) | st.sampled_from(_REFUSED))
schemathesis.openapi.format("byte", st.just(base64.b64encode(_USABLE).decode()))


@schemathesis.hook
def filter_body(_: schemathesis.HookContext, body: Any) -> bool:
    text = body.get("input") if isinstance(body, dict) else None
    return not isinstance(text, str) or not text or bool(without_markup(text).strip())
