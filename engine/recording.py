"""Decodes an uploaded recording to the PCM of a voice to clone, and refuses what cannot be used."""

from __future__ import annotations

import io
from typing import Final

import av
import numpy as np

from engine.speech import Pcm, VoiceReference

# Only what holds its own audio: a playlist or a concatenation would have FFmpeg open other files and addresses.
DEMUXERS: Final = "wav,w64,aiff,mp3,aac,flac,ogg,mov,mp4,m4a,matroska,webm,caf,au,amr"
# What those hold when people record, and no decoder of anything else: each is a hole that somebody may find.
CODECS: Final = (
    "aac,aac_latm,alac,flac,mp3,mp3float,opus,libopus,vorbis,amrnb,amrwb,libopencore_amrnb,libopencore_amrwb,"
    "pcm_u8,pcm_s8,pcm_s16le,pcm_s16be,pcm_s24le,pcm_s24be,pcm_s32le,pcm_s32be,pcm_f32le,pcm_f32be,pcm_f64le,pcm_f64be,"
    "pcm_alaw,pcm_mulaw,adpcm_ima_wav,adpcm_ms,adpcm_ima_qt,gsm,gsm_ms"
)
MIN_RATE_HZ: Final = 8_000
MAX_RATE_HZ: Final = 192_000
# The loudest tenth of a second of even a whisper recorded badly is above this; an unplugged microphone is below.
SILENCE_DBFS: Final = -50.0
WINDOWS_PER_S: Final = 10


class InvalidRecording(Exception):
    """The file is not a usable recording of a voice. The text tells the sender why."""


def read_recording(data: bytes, *, min_s: float, max_s: float, text: str | None = None) -> VoiceReference:
    """Decodes a recording to mono at its own rate. Raises InvalidRecording. Takes time: keep it off the event loop."""
    pcm, rate_hz = _decode(data, max_s)
    duration_s = pcm.size / rate_hz
    if duration_s < min_s:
        raise InvalidRecording(f"the recording lasts {duration_s:.2f} s; at least {min_s:g} s are needed")
    if _loudest_dbfs(pcm, rate_hz) < SILENCE_DBFS:
        raise InvalidRecording(f"the recording is silent: nothing in it is above {SILENCE_DBFS:g} dBFS")
    return VoiceReference(pcm, rate_hz, text)


def _decode(data: bytes, max_s: float) -> tuple[Pcm, int]:
    if not data:
        raise InvalidRecording("the file is empty")
    pieces: list[Pcm] = []
    samples = 0
    try:
        allowed = {"format_whitelist": DEMUXERS, "codec_whitelist": CODECS, "protocol_whitelist": ""}
        with av.open(io.BytesIO(data), "r", options=allowed) as container:
            if not container.streams.audio:
                raise InvalidRecording("the file holds no audio")
            stream = container.streams.audio[0]
            context = stream.codec_context
            if context is None or context.name not in CODECS.split(","):  # None: FFmpeg knows no such codec
                name = "of no known name" if context is None else context.name
                raise InvalidRecording(f"the recording's codec, {name}, is not read here")
            rate_hz = context.sample_rate
            if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
                raise InvalidRecording(
                    f"the recording's rate is {rate_hz} Hz; {MIN_RATE_HZ} to {MAX_RATE_HZ} can be used"
                )
            to_mono = av.AudioResampler(format="s16", layout="mono", rate=rate_hz)
            for frame in container.decode(stream):
                for mono in to_mono.resample(frame):
                    pieces.append(mono.to_ndarray()[0].astype(np.int16, copy=False))
                    samples += pieces[-1].size
                if samples > max_s * rate_hz:
                    raise InvalidRecording(f"the recording is longer than {max_s:g} s")
    except (av.error.FFmpegError, ValueError, IndexError) as error:
        raise InvalidRecording(f"the file is not audio that can be decoded: {_reason(error)}") from None
    return (np.concatenate(pieces) if pieces else np.empty(0, np.int16)), rate_hz


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _loudest_dbfs(pcm: Pcm, rate_hz: int) -> float:
    window = max(1, rate_hz // WINDOWS_PER_S)
    if pcm.size < window:
        return -np.inf
    windows = pcm[: pcm.size // window * window].reshape(-1, window).astype(np.float64)
    power = float(np.max(np.mean(windows**2, axis=1)))
    return 10 * np.log10(power / 32768**2) if power else -np.inf
