"""The phone that the other tests trust, against Asterisk's own Echo()."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.asterisk.asterisk import Asterisk
from tests.support.asterisk.rtp import L16_WIDEBAND, PCMA, PCMU, Codec
from tests.support.asterisk.signals import correlation, speech_like
from tests.support.asterisk.sip import dial


@pytest.mark.parametrize("codec", [PCMU, PCMA, L16_WIDEBAND], ids=lambda codec: codec.name)
async def test_echo_comes_back_as_it_was_said(asterisk: Asterisk, codec: Codec) -> None:
    said = speech_like(1.5, codec.rate_hz)
    async with dial(asterisk.sip_address, "echo", codec) as call:
        await call.play(said)
        await call.until_quiet(0.1, timeout_s=5, after=await call.until_voice(timeout_s=5))
        heard = call.heard().pcm
    assert correlation(said, heard) > 0.999
    assert np.abs(heard).max() == pytest.approx(np.abs(said).max(), rel=0.05)


async def test_nobody_there(asterisk: Asterisk) -> None:
    with pytest.raises(ConnectionRefusedError, match="404"):
        async with dial(asterisk.sip_address, "nobody"):
            pass
