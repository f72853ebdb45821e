"""What the talker reads before it speaks: role, language, voice, and the text, which then enters one token a frame."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor

from engine.qwen3.model.text import TextEmbedder


@dataclass(frozen=True, slots=True)
class Ids:
    """The checkpoint's control tokens, of text (`tts_…`) and of codec (the others), and its languages and speakers."""

    tts_bos: int
    tts_eos: int
    tts_pad: int
    bos: int
    eos: int
    pad: int
    think: int
    nothink: int
    think_bos: int
    think_eos: int
    languages: dict[str, int]  # name → codec token
    speakers: dict[str, int]  # name → codec token; CustomVoice has them
    dialects: dict[str, str]  # speaker → the language it speaks instead of Chinese

    @staticmethod
    def of(config: Any) -> Ids:
        """Reads the ids from upstream's `Qwen3TTSConfig`."""
        talker = config.talker_config
        return Ids(
            tts_bos=config.tts_bos_token_id,
            tts_eos=config.tts_eos_token_id,
            tts_pad=config.tts_pad_token_id,
            bos=talker.codec_bos_id,
            eos=talker.codec_eos_token_id,
            pad=talker.codec_pad_id,
            think=talker.codec_think_id,
            nothink=talker.codec_nothink_id,
            think_bos=talker.codec_think_bos_id,
            think_eos=talker.codec_think_eos_id,
            languages=dict(talker.codec_language_id),
            speakers={name.lower(): token for name, token in (talker.spk_id or {}).items()},
            dialects={name.lower(): d for name, d in (talker.spk_is_dialect or {}).items() if d},
        )


@dataclass(frozen=True, slots=True)
class ReferenceSpeech:
    """What is said in the recording of a cloned voice, for in-context cloning."""

    text_ids: tuple[int, ...]
    codes: Tensor  # [frames, 16] int64


@dataclass(frozen=True, slots=True)
class Speaker:
    """A voice: a token of the checkpoint, or an embedding taken from a recording, or neither (VoiceDesign)."""

    key: str  # tells speakers apart
    embedding: Tensor | None = None  # [hidden]
    reference: ReferenceSpeech | None = None
    dialect: str | None = None


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt of P positions: the last is the first step that speaks, those before it leave keys and values only."""

    embeds: Tensor  # [P, hidden]
    constant: int  # the first so many positions are the same for every text, and `key` names them
    key: Hashable
    text: Tensor  # [N, hidden]: entry i is added to the input after frame i
    reference_codes: Tensor | None  # [frames, 16]: what the codec has to have heard before the first frame

    @property
    def last(self) -> int:
        """The position that speaks first."""
        return len(self.embeds) - 1


KEPT_CONSTANTS: Final = 256
"""The beginnings of prompts that are kept: 20 KB each, some hundred KB more with a recording in them."""

_Key = tuple[str, str | None, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class _Constant:
    """The part with which a prompt begins, whatever the text."""

    opening: Tensor  # [positions, hidden]: manner, role, language and voice
    codec: Tensor | None  # [1 + frames, hidden]: the recording's codes, in context
    told: Tensor | None  # [N, hidden]: the recording's words


class PromptBuilder:
    """Builds prompts as upstream's `generate(non_streaming_mode=False)` does."""

    def __init__(self, ids: Ids, text: TextEmbedder, codec: Tensor, sub_codec: Tensor, role: Sequence[int]) -> None:
        """codec [3072, hidden] and sub_codec [15, 2048, hidden] embed codes; role is "<|im_start|>assistant\\n"."""
        self.ids = ids
        self._text = text
        self._codec = codec
        self._sub_codec = sub_codec
        bos, eos, pad = text([ids.tts_bos, ids.tts_eos, ids.tts_pad])
        self._tts_bos, self.tts_eos, self.tts_pad = bos, eos, pad
        self._role = text(list(role))
        self._bos = codec[ids.bos]
        self._constants: OrderedDict[_Key, _Constant] = OrderedDict()

    def build(
        self,
        text_ids: Sequence[int],
        speaker: Speaker,
        language: str | None = None,
        instruct_ids: Sequence[int] = (),
    ) -> Prompt:
        """Returns the prompt of a text of one token or more.

        language: the checkpoint's name of it; None lets the model tell it from the text.
        """
        if speaker.dialect and language in (None, "chinese"):
            language = speaker.dialect
        if language is None:
            think = [self.ids.nothink, self.ids.think_bos, self.ids.think_eos]
        else:
            think = [self.ids.think, self.ids.think_bos, self.ids.languages[language], self.ids.think_eos]
        key = (speaker.key, language, tuple(instruct_ids))
        constant = self._constant(key, think, speaker)
        text = self._text(text_ids)
        end = self.tts_eos[None]
        if constant.codec is None or constant.told is None or speaker.reference is None:
            embeds = torch.cat((constant.opening, text[:1] + self._bos))
            return Prompt(embeds, len(embeds) - 1, key, torch.cat((text[1:], end)), None)
        # The recording goes before the text: its words and then ours run beside its codes, a token a frame.
        codec, told = constant.codec, constant.told
        whole = torch.cat((told, text, end))
        beside, rest = whole[: len(codec)], whole[len(codec) :]
        if len(beside) < len(codec):
            beside = torch.cat((beside, self.tts_pad.expand(len(codec) - len(beside), -1)))
        embeds = torch.cat((constant.opening, beside + codec))
        first = len(constant.opening) + min(len(told), len(codec) - 1)
        return Prompt(embeds, first, key, rest, speaker.reference.codes)

    def _constant(self, key: _Key, think: Sequence[int], speaker: Speaker) -> _Constant:
        """Returns what all prompts of a voice, language and manner begin with. It is put together once, and kept."""
        if key in self._constants:
            self._constants.move_to_end(key)
            return self._constants[key]
        instruct_ids = key[2]
        codec = self._codec[torch.tensor(think, device=self._codec.device)]
        if speaker.embedding is not None:
            codec = torch.cat((codec, speaker.embedding[None]))
        codec = torch.cat((codec, self._codec[self.ids.pad][None]))
        beside = torch.cat((self.tts_pad.expand(len(codec) - 1, -1), self._tts_bos[None]))
        instruct = [self._text(instruct_ids)] if instruct_ids else []
        opening = torch.cat((*instruct, self._role, codec + beside))
        if speaker.reference is None:
            made = _Constant(opening, None, None)
        else:
            codes = speaker.reference.codes
            spoken = self._codec[codes[:, 0]].float()
            for group in range(1, codes.shape[1]):
                spoken += self._sub_codec[group - 1][codes[:, group]].float()
            spoken_from_bos = torch.cat((self._bos[None], spoken.to(self._bos.dtype)))
            made = _Constant(opening, spoken_from_bos, self._text(speaker.reference.text_ids))
        self._constants[key] = made
        if len(self._constants) > KEPT_CONSTANTS:
            self._constants.popitem(last=False)
        return made
