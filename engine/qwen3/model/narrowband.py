"""The sound of the codec's frames as it goes out: in 16 bits, how loud it is, and brought down to 8 kHz.

Narrowband sound is to the bit what `engine.audio.Resampler` makes of the sentence's PCM. Each frame gives its samples
that depend on nothing behind the frame, and what would follow if it was the sentence's last one.
"""

from __future__ import annotations

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.audio import filter_design
from engine.qwen3.settings import NARROWBAND_HZ, SAMPLE_RATE_HZ

FILTER: Final = filter_design(SAMPLE_RATE_HZ, NARROWBAND_HZ)
STEP: Final = FILTER.down
"""The samples for each one in narrowband."""
LATE: Final = FILTER.half // STEP
"""The narrowband samples of a frame that depend on the frame behind it, and come with that one's."""
REACH: Final = LATE * STEP + FILTER.half
"""The samples before a frame on which its narrowband depends."""
LEVEL_SAMPLES: Final = 240
"""The samples, 10 ms, that have a level."""
FULL_SCALE: Final = 32767.0


def narrow_samples(samples_per_frame: int) -> int:
    """Returns the narrowband samples that come with a frame: its own, then LATE that follow if it is the last."""
    return samples_per_frame // STEP + LATE


def allocate_before(slots: int, device: torch.device | str) -> Tensor:
    """Returns the end of each slot's sound so far, [slots + 1, REACH], the last one for rows that pad a batch."""
    return torch.zeros(slots + 1, REACH, dtype=torch.int16, device=device)


def to_pcm(sound: Tensor) -> Tensor:
    """Returns float samples as 16 bits."""
    return torch.round(sound.clamp(-1, 1) * FULL_SCALE).to(torch.int16)


def levels(pcm: Tensor) -> Tensor:
    """Returns the RMS of each 10 ms, 1.0 for full scale. pcm [B, samples]; returns [B, samples / LEVEL_SAMPLES]."""
    return pcm.view(len(pcm), -1, LEVEL_SAMPLES).float().div(FULL_SCALE).square().mean(2).sqrt()


def narrow(before: Tensor, slots: Tensor, first: Tensor, pcm: Tensor, frames: int) -> Tensor:
    """Returns the next frames of B slots in narrowband, [B, frames, narrow_samples]; works in place on `before`.

    pcm [B, samples]; first [B]: the number of each one's first frame. Nothing comes before number 0, whatever the slot
    holds, so that a slot need not be cleared.
    """
    joined = torch.cat((before[slots] * (first > 0)[:, None], pcm), dim=1)
    before[slots] = joined[:, -REACH:]
    size = pcm.shape[1] // frames
    each = joined.unfold(1, REACH + size, size).reshape(len(pcm) * frames, 1, -1)
    taps = torch.from_numpy(FILTER.taps).to(pcm.device)
    # Behind the frame is silence: as much as makes its last LATE samples.
    padded = F.pad(each.double(), (0, FILTER.half - STEP + 1))
    # Every sum is exact in float64, so that its order does not matter.
    sums = F.conv1d(padded, taps.view(1, 1, -1), stride=STEP).round().clamp(-32768, 32767)
    return sums.to(torch.int16).view(len(pcm), frames, -1)
