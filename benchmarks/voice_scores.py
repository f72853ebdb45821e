"""What measures tell of a voice: two estimates of its quality, its pitch and formants, and how far it is from others.

None of this replaces ears. DNSMOS and DistillMOS are networks that estimate what people would say of a recording, from
1 to 5; the distance between two voices is that of the embeddings by which speakers are recognised.

    pip install --no-deps speechmos distillmos xls-r-sqa resemblyzer webrtcvad-wheels praat-parselmouth
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from engine.speech import Pcm

RATE_HZ: Final = 16_000
"""The rate at which all of these networks hear."""
MIN_F0_HZ: Final = 60.0
MAX_F0_HZ: Final = 500.0
MAX_FORMANT_HZ: Final = 5_500.0
"""Praat's limit for a woman's voice, whose five formants lie below it."""


@dataclass(frozen=True, slots=True)
class Scores:
    """One voice, as the mean over its sentences."""

    dnsmos: float
    """DNSMOS P.835, overall: speech and background together."""
    p808: float
    """DNSMOS P.808."""
    distillmos: float
    pitch_hz: float
    formants_hz: tuple[float, float, float]
    """The medians of the first three over all vowels."""
    embedding: NDArray[np.float32]
    """Of the speaker; of length 1."""

    def similarity(self, other: Scores) -> float:
        """Returns how alike two speakers are: 1 for the same one, below about 0.75 for others."""
        return float(self.embedding @ other.embedding)


class VoiceMeasure:
    """The networks, loaded once."""

    def __init__(self) -> None:
        # distillmos imports it for its command line, and there is none for every torch.
        sys.modules.setdefault("torchaudio", ModuleType("torchaudio"))
        self._dnsmos: Any = import_module("speechmos.dnsmos")
        self._distillmos: Any = import_module("distillmos").ConvTransformerSQAModel().eval()
        self._praat: Any = import_module("parselmouth")
        self._speakers: Any = import_module("resemblyzer").VoiceEncoder("cpu", verbose=False)

    def scores(self, lines: Sequence[Pcm]) -> Scores:
        """Returns the scores of a voice from what it says, at RATE_HZ."""
        sounds = [line.astype(np.float32) / 32768 for line in lines]
        heard = [self._dnsmos.run(sound, sr=RATE_HZ) for sound in sounds]
        with torch.no_grad():
            judged = [self._distillmos(torch.from_numpy(sound)[None]).item() for sound in sounds]
        pitches, formants = zip(*map(self._pitch_and_formants, sounds), strict=True)
        first, second, third = np.median(np.concatenate(formants), 0).tolist()
        return Scores(
            dnsmos=float(np.mean([one["ovrl_mos"] for one in heard])),
            p808=float(np.mean([one["p808_mos"] for one in heard])),
            distillmos=float(np.mean(judged)),
            pitch_hz=float(np.median(np.concatenate(pitches))),
            formants_hz=(first, second, third),
            embedding=self._speakers.embed_speaker(sounds),
        )

    def _pitch_and_formants(self, sound: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Returns the pitch and the first three formants, in Hz, at every 10 ms that have a pitch."""
        praat = self._praat.Sound(sound.astype(np.float64), RATE_HZ)
        pitch = praat.to_pitch(0.01, MIN_F0_HZ, MAX_F0_HZ)
        f0_hz = pitch.selected_array["frequency"]
        times_s = pitch.xs()[f0_hz > 0]
        tracks = praat.to_formant_burg(0.01, 5, MAX_FORMANT_HZ)
        formants = np.array([[tracks.get_value_at_time(n, time_s) for n in (1, 2, 3)] for time_s in times_s])
        return f0_hz[f0_hz > 0], formants[np.isfinite(formants).all(1)]
