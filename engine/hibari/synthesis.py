"""Makes PCM of a sentence with hibari: at telephone level, as it is made, and without the silence around it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np
from hibari import Hibari
from numpy.typing import NDArray

from engine.audio import Resampler, soft_limit
from engine.hibari.chunks import chunked
from engine.hibari.messages import Speak
from engine.hibari.phonemes import with_phonemes
from engine.hibari.vocoder import Vocoder
from engine.hibari.voices import DEFAULT, VARIANTS, Variant
from engine.hibari.word_starts import WordStarts, model_with_durations
from engine.silence_trim import SilenceTrim
from engine.speech import Pcm

# hibari speaks at -26 LUFS; a telephone expects about -20.
GAIN: Final = 2.0
# What hibari calls silence lies below -70 dBFS, its softest consonants above -55; before the gain.
SILENCE_DBFS: Final = -60.0
BEFORE_SAMPLES: Final = 0  # kept before the first sound: a caller waits for it, and it rises from silence by itself
AFTER_SAMPLES: Final = 720  # kept after the last sound
# Where hibari itself takes a text apart: at 400 phonemes, or where it sees a sentence's end.
PART_PAUSE_SAMPLES: Final = 3600
# A bound on what is made of one job: 200 characters of prose take 11 s, 15 digits at the slowest pace more.
MAX_SAMPLES: Final = 24 * 24000
# The network's own pace is right at 0.5 and 1.0. In between, and faster, it moves in steps and is up to 25 % off, and
# stretching its frames is as well understood: 2.0 has half the word errors of its own.
SLOW: Final = 0.5


class Synthesizer:
    """hibari, loaded and ready. It is not for several threads at once."""

    def __init__(self) -> None:
        self._hibari = Hibari(model=model_with_durations(DEFAULT), threads=1)

    def speak(self, job: Speak, on_word_starts: Callable[[Sequence[int]], None] | None = None) -> Iterator[Pcm]:
        """Yields chunks of 20 to 200 ms; none for a text without English sounds. The same job gives the same samples.

        `on_word_starts` is told the samples at which the text's words begin, as `Style.on_word_starts` is.
        """
        variant = VARIANTS[job.voice]
        level = (soft_limit(block * GAIN) for block in self._sound(job, variant, on_word_starts))
        pcm = (np.rint(block * 32767).astype(np.int16) for block in level)
        left = MAX_SAMPLES
        for chunk in chunked(pcm, Resampler(variant.formant_percent, 100)):
            yield chunk[:left]
            left -= chunk.size
            if left <= 0:
                return

    def _sound(
        self, job: Speak, variant: Variant, on_word_starts: Callable[[Sequence[int]], None] | None
    ) -> Iterator[NDArray[np.float32]]:
        """Yields sound that is to be played at `formant_percent` of 24 kHz."""
        text = with_phonemes(" ".join(job.text.split()))  # to hibari, each line is a sentence
        pace = job.speed * variant.pace
        native = SLOW if pace <= SLOW else 1.0
        shift = variant.formant_percent / 100  # of all there is, once it is played: length and pitch make up for it
        words = WordStarts(self._hibari, text) if on_word_starts else None
        made, pause = 0, np.zeros(0, np.float32)
        for phonemes in self._hibari.phonemize(text):
            ids = self._hibari.ids(phonemes)
            if len(ids) < 3:  # nothing but the padding
                continue
            feed = {"ids": np.array([ids], np.int64), "speed": np.array([native], np.float32)}
            *outputs, durations = self._hibari.sess.run(None, feed)
            vocoder = Vocoder(
                [output[0] for output in outputs],
                job.seed,
                stretch=native / pace * shift,
                pitch=variant.pitch / shift,
                melody=variant.melody,
            )
            trim = SilenceTrim(SILENCE_DBFS, BEFORE_SAMPLES, AFTER_SAMPLES)
            for block in trim.trimmed(vocoder.blocks()):
                if pause.size or not made:
                    made += pause.size
                    if on_word_starts and words:
                        ends = made - trim.cut_samples + vocoder.sample_at(np.cumsum(durations) / durations.sum())
                        on_word_starts(words.part(phonemes, np.maximum(ends, made) / shift))
                yield np.concatenate((pause, block))
                made, pause = made + block.size, np.zeros(0, np.float32)
            pause = np.zeros(PART_PAUSE_SAMPLES, np.float32)
