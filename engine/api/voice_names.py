"""What clients of other servers call their voices; every engine has one for each."""

from __future__ import annotations

import re
from typing import Final

OPENAI_VOICES: Final = (
    *("alloy", "ash", "ballad", "cedar", "coral", "echo", "fable"),
    *("marin", "nova", "onyx", "sage", "shimmer", "verse"),
)
QWEN_VOICES: Final = ("vivian", "serena", "uncle_fu", "dylan", "eric", "ryan", "aiden", "ono_anna", "sohee")
# Kokoro's English voices, each with one of the others' that is of the same sex and like it in character.
KOKORO_VOICES: Final = {
    "af_heart": "",
    "af_alloy": "alloy",
    "af_aoede": "coral",
    "af_bella": "nova",
    "af_jessica": "vivian",
    "af_kore": "sage",
    "af_nicole": "serena",
    "af_nova": "nova",
    "af_river": "marin",
    "af_sarah": "sohee",
    "af_sky": "shimmer",
    "am_adam": "ash",
    "am_echo": "echo",
    "am_eric": "eric",
    "am_fenrir": "onyx",
    "am_liam": "dylan",
    "am_michael": "cedar",
    "am_onyx": "onyx",
    "am_puck": "ryan",
    "am_santa": "uncle_fu",
    "bf_alice": "serena",
    "bf_emma": "coral",
    "bf_isabella": "marin",
    "bf_lily": "ono_anna",
    "bm_daniel": "ballad",
    "bm_fable": "fable",
    "bm_george": "cedar",
    "bm_lewis": "verse",
}
_BLEND: Final = re.compile(r"\(\d*\.?\d*\)")


def own_name(name: str) -> str:
    """Returns the name by which the engines know a voice. Of a blend of Kokoro's, "af_bella(2)+af_sky", the first."""
    name = name.strip()
    first = _BLEND.sub("", name.split("+", 1)[0]).strip().lower()
    return KOKORO_VOICES.get(first, name)
