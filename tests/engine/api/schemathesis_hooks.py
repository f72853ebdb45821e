"""What schemathesis sends where a recording is wanted, most of the time: one that can be used."""

from __future__ import annotations

import io

import schemathesis
import soundfile
from hypothesis import strategies as st

from engine.speech import Style
from tests.support.tone_engine import RATE_HZ, sound_of

_FILE = io.BytesIO()
soundfile.write(_FILE, sound_of("A recording that lasts long enough. " * 2, Style())[::3], RATE_HZ // 3, format="WAV")

schemathesis.openapi.format("binary", st.just(_FILE.getvalue()) | st.binary(max_size=100))
