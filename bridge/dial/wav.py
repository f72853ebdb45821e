"""Reads what a caller says from a sound file, and writes what was said and heard on a call as WAV."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Final

import av
import numpy as np

from bridge.dial.caller import Caller
from bridge.dial.reception import Reception
from engine.audio import resample
from engine.speech import Pcm

PHONE_BUFFER_S: Final = 0.060
"""A telephone's jitter buffer commonly rides this out. In a recording, only frames later than this leave a hole."""

PHONE_AHEAD_S: Final = 0.020
"""A frame may come this long before it is played; beyond that, a phone's buffer shrinks."""


def read_wav(path: Path, rate_hz: int) -> Pcm:
    """Returns a sound file (WAV or whatever FFmpeg decodes) as mono at `rate_hz`, shape (samples,).

    Raises ValueError, OSError.
    """
    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise ValueError(f"{path} holds no audio")
            file_rate_hz = container.streams.audio[0].codec_context.sample_rate
            to_mono = av.AudioResampler(format="s16", layout="mono", rate=file_rate_hz)
            pieces = [
                mono.to_ndarray()[0].astype(np.int16, copy=False)
                for frame in container.decode(audio=0)
                for mono in to_mono.resample(frame)
            ]
    except av.error.InvalidDataError:
        raise ValueError(f"{path} is not audio that can be decoded") from None
    return resample(np.concatenate(pieces) if pieces else np.empty(0, np.int16), file_rate_hz, rate_hz)


def write_wav(path: Path, pcm: Pcm, rate_hz: int) -> None:
    """Writes int16 `pcm`, which is mono of shape (samples,) or several channels of shape (samples, channels)."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1 if pcm.ndim == 1 else pcm.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(pcm.astype("<i2").tobytes())


def heard(received: Reception, start_s: float) -> Pcm:
    """Returns what a telephone would have played from `start_s` on, at the call's rate, shape (samples,).

    Frames play one after the other. A frame that comes later than the phone's buffer holds plays when it comes, after
    silence. Where frames come faster than they play, silent ones are left out, so that the recording keeps time.
    """
    pieces: list[Pcm] = []
    run: list[bytes] = []
    run_rate_hz = received.rate_hz
    played_until_s = start_s

    def silence(seconds: float) -> None:
        pieces.append(np.zeros(round(max(seconds, 0.0) * received.rate_hz), np.int16))

    def close_run() -> None:
        if run:
            pcm = np.frombuffer(b"".join(run), "<i2").astype(np.int16)
            pieces.append(resample(pcm, run_rate_hz, received.rate_hz))
            run.clear()

    frames = zip(received.arrivals_s, received.audio, received.voiced, strict=True)
    for index, (at_s, (rate_hz, pcm), voiced) in enumerate(frames):
        if index == 0 or at_s > played_until_s + PHONE_BUFFER_S:
            close_run()
            silence(at_s - played_until_s)
            played_until_s = at_s
        elif at_s < played_until_s - PHONE_AHEAD_S and not voiced:
            continue
        if rate_hz != run_rate_hz:
            close_run()
            run_rate_hz = rate_hz
        run.append(pcm)
        played_until_s += len(pcm) / (2 * rate_hz)
    close_run()
    return np.concatenate(pieces) if pieces else np.empty(0, np.int16)


def both_sides(caller: Caller) -> Pcm:
    """Returns the call in stereo from the caller's first frame on: caller left, agent right, shape (samples, 2)."""
    said = np.frombuffer(bytes(caller.handset.spoken), "<i2")
    played = heard(caller.received, caller.first_sent_s)
    sides = np.zeros((max(said.size, played.size), 2), np.int16)
    sides[: said.size, 0] = said
    sides[: played.size, 1] = played
    return sides
