"""Each attack of `benchmarks.attack` that takes a few seconds, beside ten calls that must not notice it."""

from __future__ import annotations

from typing import Final

import pytest

from benchmarks.attacks.catalog import ATTACKS
from benchmarks.attacks.measure import measure

SECONDS: Final = 3.0
MOST_MISSING: Final = 0.01
"""Of the frames of ten other calls."""
MOST_EXCUSED: Final = 0.2
"""So much more at most where the server waited for a core that others had: it is not to blame for that."""
MOST_GROWTH_BYTES: Final = 100 * 2**20
DECODERS_BYTES: Final = 300 * 2**20
"""Two processes that decode, each with FFmpeg and numpy in it."""
MOST_FIRST_SOUND_MS: Final = 500

REFUSED: Final = frozenset({"401 and closed", "413 and closed", "415 and closed", "reset", "closed"})
"""A body that is not read. Where the server closes on what is still being sent, its answer may get lost."""
UNNOTICED: Final = frozenset({"still open", "closed", "reset", "101"})
"""A connection that may stay or not."""
LONG: Final = frozenset({"200", "400", "503", "no answer"})
"""Speech that may take as long as the attack."""

ANSWERED: Final[dict[str, frozenset[str]]] = {
    "back-channels": frozenset({"200", "202"}),
    "long-transcripts": frozenset({"200", "202"}),
    "format-as-name": frozenset({"201", "greeted"}),
    "bad-registration": frozenset({"400", "413 and closed"}),
    "registration-flood": frozenset({"201", "429", "503", "closed", "the caller: 201", "the caller: known"}),
    "gzip-bombs": REFUSED | {"405 and closed"},
    "large-JSON": REFUSED,
    "corrupt-deflate": frozenset({"400", "400 and closed", "415 and closed"}),
    "multipart-preamble": REFUSED | {"400 and closed", "501", "501 and closed"},
    "compressed-upload": REFUSED | {"501 and closed"},
    "foreign-host": frozenset({"421", "421 and closed"}),
    "broken-origin": frozenset({"400", "403", "400 and closed", "403 and closed"}),
    "killer-words": LONG,
    "slow-speech": LONG,
    "digits": UNNOTICED,
    "empty-frames": UNNOTICED,
    "fast-audio": UNNOTICED,
    "used-UUID": frozenset({"first call taken", "second call refused"}),
    "WebSocket-keys": UNNOTICED,
    "cancels": UNNOTICED,
    "empty-deltas": UNNOTICED,
    "dropped-deltas": UNNOTICED,
    "pings": UNNOTICED,
    "many-floods": UNNOTICED | {"503"},
    "short-requests": UNNOTICED,
    "unread-speech": frozenset({"somebody else: 200", "somebody else: no answer"}),
    "unread-by-one-of-us": frozenset({"somebody else: 200"}),
    "hostile-recordings": frozenset({"200", "201", "400", "409", "503", "no answer", "closed", "reset"}),
    "large-recordings": frozenset({"400", "503", "503 and closed", "no answer", "closed", "reset"}),
    "recogniser-partials": frozenset({"connected"}),
    "recogniser-transcripts": frozenset({"connected"}),
    "recogniser-10-MB": frozenset({"connected"}),
    "recogniser-half-frames": frozenset({"connected"}),
    "recogniser-pings": frozenset({"connected"}),
    "model-comments": frozenset({"202", "asked"}),
    "model-empty-deltas": frozenset({"202", "asked"}),
    "model-deltas": frozenset({"202", "asked"}),
    "model-arguments": frozenset({"202", "asked"}),
    "tool-1-GB": frozenset({"202", "used"}),
    "tool-dribble": frozenset({"202", "used"}),
    "speaker-messages": frozenset({"connected"}),
    "speaker-no-JSON": frozenset({"connected"}),
    "speaker-deep-JSON": frozenset({"connected"}),
    "speaker-endless-message": frozenset({"connected"}),
    "speaker-pings": frozenset({"connected"}),
    "speaker-sound": frozenset({"connected"}),
    "speaker-long-sound": frozenset({"connected"}),
    "speaker-items": frozenset({"connected"}),
    "speaker-long-items": frozenset({"connected"}),
    "speaker-words": frozenset({"connected"}),
    "speaker-speech": frozenset({"connected"}),
    "speaker-failures": frozenset({"connected"}),
    "speaker-tools": frozenset({"connected"}),
    "speaker-silence": frozenset({"connected"}),
    "MCP-silence": frozenset({"202", "used"}),
    "MCP-1-GB": frozenset({"202", "used"}),
    "MCP-endless-event": frozenset({"202", "used"}),
    "MCP-comments": frozenset({"202", "used"}),
    "MCP-notifications": frozenset({"202", "used"}),
    "MCP-questions": frozenset({"202", "used"}),
    "MCP-foreign-answers": frozenset({"202", "used"}),
    "MCP-long-result": frozenset({"202", "used"}),
    "MCP-deep-result": frozenset({"202", "used"}),
    "MCP-redirect": frozenset({"202", "used"}),
    "MCP-many-tools": frozenset({"pages"}),
}
"""What the attacker may be answered."""
DECODED: Final = ("hostile-recordings", "large-recordings")
"""Attacks on the decoder of uploads."""
SPOKEN: Final = ("killer-words", "slow-speech")
"""Attacks on the voice that calls wait for."""

SERVED: Final = ("unread-speech", "unread-by-one-of-us")
"""Attacks beside which somebody else asks for speech."""


@pytest.mark.realtime
@pytest.mark.slow
@pytest.mark.xdist_group("realtime")
@pytest.mark.flaky(reruns=1)
@pytest.mark.parametrize("name", ANSWERED)
async def test_ten_calls_do_not_notice_an_attack(name: str) -> None:
    result = await measure(ATTACKS[name], SECONDS)

    assert set(result.answers) <= ANSWERED[name]
    if name in SERVED:
        assert result.answers["somebody else: 200"], "what is under way at the end has no answer, but others have"
    assert result.missing_share < MOST_MISSING + min(result.waited_share, MOST_EXCUSED)
    assert result.growth_bytes <= MOST_GROWTH_BYTES + (DECODERS_BYTES if name in DECODED else 0)
    if name in SPOKEN:
        assert result.figures.first_sound_ms <= MOST_FIRST_SOUND_MS
