"""Moonshine tiny, a model for English of 27 million parameters whose work grows with the length of the audio.

The weights (MIT licence) lie in the wheel of the package `moonshine-voice`, up to version 0.1.0. They are read from its
files: the package itself, which is native code and can download things, is never imported.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections import OrderedDict
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bridge.hearing.asr.recognition import RATE_HZ, Recognition

PACKAGE: Final = "moonshine_voice"
LEVEL: Final = 0.8
"""The peak to which all audio is brought: quiet audio is recognised worse."""
SILENCE_AFTER: Final = RATE_HZ // 5
"""Samples of silence that are added, because a sentence that ends at once loses its last word."""
HEADS, HEAD_SIZE = 8, 36
BEGIN, END = 1, 2
TOKENS_A_S: Final = 6.5
"""Nobody speaks faster. A model that goes on has lost its thread and repeats itself."""
WORD_BEGINS: Final = "\u2581"
NOTHING: Final = "You"
"""What the model makes of sounds without words; whoever says this word alone gets a full stop behind it."""
MIN_CONFIDENCE: Final = -0.6
"""The mean log-probability under which it makes the words up, as it does of many voices at once."""
DRAFT_BYTES: Final = RATE_HZ * 2 * 4 // 5
"""The beginning of the audio by which a stretch is known again that has grown longer: with 0.3 s before the speech, it
has half a second of it."""
MOST_DRAFTS: Final = 64
SURE: Final = -0.7
"""The log-probability from which a draft's token is taken as it is. Many tokens in one step are computed a little more
coarsely than one by one, which matters where two are nearly as likely."""
_OLD_SPELLING: Final = re.compile(r"\b([Tt]o|[Gg]ood)-(day|night|morrow|bye)\b")


def weights() -> Path | None:
    """Returns the folder of the model's files; None where the package is missing or a version without them."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "assets" / "tiny-en"
    return folder if (folder / "decoder_model_merged.ort").exists() else None


class Moonshine:
    """The model, loaded. One thread of one core runs it.

    A stretch that is looked at again begins as it did. So what was made of it the last time is a draft, which the model
    checks in one step in place of one for each token; from where it is not sure of it, it goes on as ever.
    """

    def __init__(self) -> None:
        """Raises OSError if the weights are not installed."""
        folder = weights()
        if folder is None:
            raise OSError("moonshine-voice 0.1.0, whose wheel carries the weights, is not installed")
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # it phones home, and reads this only at its import
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1

        def session(name: str) -> Any:
            return onnxruntime.InferenceSession(str(folder / name), options, providers=["CPUExecutionProvider"])

        self._encoder, self._decoder = session("encoder_model.ort"), session("decoder_model_merged.ort")
        self._past = [entry.name for entry in self._decoder.get_inputs() if entry.name.startswith("past")]
        self._drafts: OrderedDict[bytes, list[int]] = OrderedDict()
        """The tokens of stretches of late, by the beginning of their audio."""
        self._tokens = read_tokens((folder / "tokenizer.bin").read_bytes())

    def recognise(self, pcm: bytes) -> Recognition:
        """Returns the words in 16 kHz 16-bit mono audio."""
        audio = np.frombuffer(pcm, np.int16).astype(np.float32)
        audio *= LEVEL / max(float(np.abs(audio).max(initial=0)), 1.0)
        audio = np.concatenate((audio, np.zeros(SILENCE_AFTER, np.float32)))[None]
        (states,) = self._encoder.run(None, {"input_values": audio, "attention_mask": np.ones(audio.shape, np.int64)})
        most = 3 + int(audio.size / RATE_HZ * TOKENS_A_S)
        tokens, confidence = self._decode(states, most, self._drafts.pop(pcm[:DRAFT_BYTES], [])[: most - 1])
        self._drafts[pcm[:DRAFT_BYTES]] = tokens
        if len(self._drafts) > MOST_DRAFTS:
            self._drafts.popitem(last=False)
        text = b"".join(self._tokens[token] for token in tokens).decode(errors="replace").replace(WORD_BEGINS, " ")
        text = _OLD_SPELLING.sub(r"\1\2", " ".join(text.split()))
        if text == NOTHING:
            return Recognition("")
        return Recognition(text if confidence > MIN_CONFIDENCE else "", confidence)

    def _decode(self, states: NDArray[np.float32], most: int, draft: list[int]) -> tuple[list[int], float]:
        """Returns the likeliest tokens, one after the other, and the mean log-probability of them and of the end."""
        constant = {
            "encoder_hidden_states": states,
            "encoder_attention_mask": np.ones(states.shape[:2], np.int64),
        }
        past = {name: np.zeros((1, HEADS, 0 if "decoder" in name else 1, HEAD_SIZE), np.float32) for name in self._past}

        def step(given: list[int], *, first: bool) -> NDArray[np.float32]:
            """Returns the scores of what follows each of these tokens, and keeps what the next step needs of it."""
            fed = {"input_ids": np.array([given]), "use_cache_branch": np.array([not first])}
            logits, *present = self._decoder.run(None, {**constant, **past, **fed})
            for name, value in zip(self._past, present, strict=True):
                if first or "decoder" in name:  # what comes of the encoder stays as the first step has made it
                    past[name] = value
            scores: NDArray[np.float32] = logits[0]
            return scores

        tokens: list[int] = []
        chances: list[float] = []
        if draft:
            for told, scores in zip(draft, step([BEGIN, *draft], first=True), strict=False):
                token, chance = likeliest(scores)
                if token != told or chance < SURE:
                    break
                tokens.append(token)
                chances.append(chance)
            for name in self._past:  # the latest token is fed once more, by itself
                if "decoder" in name:
                    past[name] = past[name][:, :, : len(tokens)]
        while len(tokens) < most:
            token, chance = likeliest(step(tokens[-1:] or [BEGIN], first=not tokens)[-1])
            chances.append(chance)
            if token == END:
                break
            tokens.append(token)
        return tokens, sum(chances) / len(chances)


def likeliest(scores: NDArray[np.float32]) -> tuple[int, float]:
    """Returns the likeliest token and its log-probability."""
    best = scores.max()
    return int(scores.argmax()), -float(np.log(np.exp(scores - best).sum()))


def read_tokens(data: bytes) -> list[bytes]:
    """Returns the tokens of the package's file: each behind its length, which takes two bytes from 128 on."""
    tokens, place = [], 0
    while place < len(data):
        length, place = data[place], place + 1
        if length >= 128:
            length, place = length - 128 + 128 * data[place], place + 1
        tokens.append(data[place : place + length])
        place += length
    return tokens
