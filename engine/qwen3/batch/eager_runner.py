"""The plain runner, for the CPU and where graphs cannot be captured: first come, first served, one sync a frame."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.qwen3.batch.runner import Frames, Made, Runner
from engine.qwen3.batch.sentence import End, Sentence, chunk_frames
from engine.qwen3.batch.slots import Slots, kv_length
from engine.qwen3.model import codec, narrowband
from engine.qwen3.model.frame import decode_frame
from engine.qwen3.model.state import CODE_GROUPS


class EagerRunner(Runner):
    """Makes a frame of every sentence in each step, and decodes at once what is due."""

    _slots: Slots

    def __init__(self, slots: Slots) -> None:
        super().__init__(slots)
        self._device = slots.state.x.device

    def admit(self, sentence: Sentence) -> bool:
        if not self._slots.free:
            return False
        self._enter(sentence, self._slots.take(sentence.prompt, sentence.sampling))
        return True

    def step(self) -> list[Made]:
        sentences = list(self._batch.values())
        if not sentences:
            return []
        drawn = self._frame(sentences).cpu().numpy()
        for sentence, codes, valid in zip(sentences, drawn.tolist(), self._slots.model.valid(drawn), strict=True):
            sentence.made += 1
            if not valid:
                sentence.end = End.INVALID_CODE
                del sentence.codes[sentence.sounded :]
            elif codes[0] == self._slots.model.eos:
                sentence.end = End.SPOKEN
            else:
                sentence.codes.append(codes)
                if sentence.made >= sentence.budget:
                    sentence.end = End.BUDGET
        made = self._sound([sentence for sentence in sentences if self._is_due(sentence)])
        for each in made:
            if each.end is not None:
                self.remove(each.sentence)
        return made

    def _frame(self, sentences: list[Sentence]) -> Tensor:
        at = torch.tensor([each.slot for each in sentences], device=self._device)
        codes = torch.empty(len(sentences), CODE_GROUPS, dtype=torch.int64, device=self._device)
        length = kv_length(max(each.position for each in sentences) + 1, self._slots.max_positions)
        decode_frame(self._slots.model, self._slots.state, at, length, codes)
        return codes

    @staticmethod
    def _is_due(sentence: Sentence) -> bool:
        return sentence.end is not None or len(sentence.codes) - sentence.sounded >= chunk_frames(sentence.chunks)

    def _sound(self, due: list[Sentence]) -> list[Made]:
        """Decodes the frames of the sentences that are due, those with equally many frames together."""
        made = []
        for frames in sorted({len(each.codes) - each.sounded for each in due}):
            group = [each for each in due if len(each.codes) - each.sounded == frames]
            if frames == 0:  # ended right after a chunk
                made += [Made.nothing_more(each, each.end) for each in group]
                continue
            codes = torch.tensor([each.codes[each.sounded :] for each in group], device=self._device)
            at = torch.tensor([each.slot for each in group], device=self._device)
            first = torch.tensor([each.sounded for each in group], device=self._device)
            pcm = narrowband.to_pcm(codec.decode(self._slots.codec, self._slots.codec_state, at, codes).float())
            narrow = narrowband.narrow(self._slots.before, at, first, pcm, frames)
            parts = (pcm, narrow, narrowband.levels(pcm))
            rows = zip(*(part.view(len(group), frames, -1).cpu().numpy() for part in parts), strict=True)
            for sentence, row in zip(group, map(Frames._make, rows), strict=True):
                runs_on = self._runs_on(sentence, sentence.sounded, row)
                sentence.end = sentence.end or (End.GUARD if runs_on else None)
                made.append(self._cut(sentence, sentence.sounded, row, sentence.end))
                sentence.sounded += frames
                sentence.chunks += 1
        return made
