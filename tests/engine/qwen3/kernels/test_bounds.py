"""No kernel reaches beyond the memory it is given, however full the slots are and whatever pads the batch."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from tests.support.qwen3.kernel_support import CUDA, WHY_NOT, within_arguments

if WHY_NOT or CUDA:
    pytest.skip(WHY_NOT or "looks at every address: Triton's interpreter alone can", allow_module_level=True)

from engine.qwen3.kernels import linear, sample
from engine.qwen3.kernels.codec import FastCodec
from engine.qwen3.kernels.frame import How, Scratch, decode_frame
from engine.qwen3.kernels.variants import ROWS, SLICES, VENDOR, Variant
from engine.qwen3.model.frame import FrameModel
from engine.qwen3.model.frame import decode_frame as plain_frame
from engine.qwen3.model.state import DecodeState
from engine.qwen3.model.weights import PredictorWeights, TalkerWeights
from tests.support.qwen3.random_codec import CodecSize, random_codec
from tests.support.qwen3.random_weights import StackSize, _Source

# numpy's, of what a GPU takes in its stride: exp of much, a NaN compared.
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

POSITIONS, TEXT, SLOTS, HISTORY = 64, 8, 4, 32
CODEC = CodecSize(
    codebook=32, latent=32, hidden=32, intermediate=32, heads=1, head_dim=32, layers=1, decoder=32, rates=(2,),
    upsample=(2,), window=5, codes=64,
)  # fmt: skip


@pytest.fixture(autouse=True)
def _no_grad() -> Iterator[None]:
    torch.manual_seed(0)
    with torch.inference_mode():
        yield


def a_model() -> FrameModel:
    source = _Source("cpu", torch.float32, 1)
    talker = TalkerWeights(
        source.stack(StackSize(1, 32, 32, 2, 1, 16), POSITIONS), source.normal(1088, 32, std=1), source.dense(1088, 32)
    )
    heads = tuple(source.dense(64, 32) for _ in range(15))
    predictor = PredictorWeights(
        source.stack(StackSize(2, 32, 32, 2, 1, 16), 16), source.normal(15, 64, 32, std=1), heads, None
    )
    return FrameModel.build(talker, predictor, source.normal(32, std=1), 70)


def test_the_guard_sees_an_address_that_is_nobody_s() -> None:
    x, norm = torch.ones(2, 32), torch.ones(32)
    with within_arguments() as watched:
        linear.rms_norm(x, norm, torch.empty(2, 32), 1e-6)
        assert watched.accesses > 0
        with pytest.raises(Exception, match="beyond the memory"):
            linear.rms_norm(x, norm, torch.empty(1, 32), 1e-6)


def a_full_state(model: FrameModel) -> DecodeState:
    """One slot is at its last position, one has all its text behind it, one has just begun."""
    torch.manual_seed(1)
    state = DecodeState.allocate(model.talker, model.predictor, SLOTS, POSITIONS, TEXT)
    state.x.normal_()
    state.talker_kv.kv.normal_()
    state.text.normal_()
    state.position.copy_(torch.tensor([0, POSITIONS - 1, 30, 0, POSITIONS - 1]))
    state.frame.copy_(torch.tensor([0, POSITIONS - 11, 1, 0, 2**33 + 5]))  # the last has padded batches for years
    state.text_length.copy_(torch.tensor([TEXT, TEXT, 0, 0, TEXT]))
    return state


@pytest.mark.parametrize("variant", [ROWS, SLICES, VENDOR], ids=["rows", "slices", "vendor"])
def test_a_frame_of_full_slots_and_of_the_one_that_pads(variant: Variant) -> None:
    """And the codes are plain PyTorch's."""
    model = a_model()
    calls = [3, 1] if variant is SLICES else [1]
    slots = torch.tensor([*calls, SLOTS, SLOTS])
    state, codes = a_full_state(model), torch.full((len(slots), 16), -1)
    history = torch.zeros(SLOTS + 1, HISTORY, 16, dtype=torch.int64)
    with within_arguments():
        decode_frame(model, state, slots, codes, Scratch.allocate(model, len(slots)), history, How(variant, False))
    assert state.position[1] == POSITIONS - 1
    assert state.position[SLOTS] == 0, "each of its rows would read all up to its position"
    plain, expected = a_full_state(model), torch.full((len(calls), 16), -1)
    plain_frame(model, plain, torch.tensor(calls), POSITIONS, expected)
    assert torch.equal(codes[: len(calls)], expected)
    assert (state.x[calls] - plain.x[calls]).abs().max() < 1e-4
    assert torch.equal(state.seen[calls], plain.seen[calls])


def test_a_call_whose_numbers_are_none_draws_a_code_there_is() -> None:
    """NaNs compare with nothing; the code drawn from them must still lead into the tables."""
    rows, vocabulary = 2, 68
    table = torch.randn(vocabulary, 32)
    codes, nobody = torch.full((rows, 16), -1), torch.zeros(rows)
    seen = torch.zeros(rows, vocabulary, dtype=torch.bool)
    whole = torch.zeros(rows, dtype=torch.int64)
    with within_arguments():
        sample.draw_first(
            torch.full((rows, vocabulary), float("nan")), torch.ones(vocabulary, dtype=torch.bool),
            torch.arange(rows), whole, whole, nobody + 0.9, whole + 50, nobody + 0.5, nobody + 1.05, seen, codes, table,
            torch.empty(rows, 32), torch.empty(rows, 32), 3, 2,
        )  # fmt: skip
    assert ((codes[:, 0] >= 0) & (codes[:, 0] < vocabulary)).all()


def test_sound_of_a_long_call_and_of_the_slot_that_pads() -> None:
    """Thousands of padded batches leave the padding slot where it was, and a call may go up to its tables' end."""
    weights = random_codec("cpu", torch.float32, CODEC)
    codec = FastCodec(weights, SLOTS, 3, dtype=torch.float32)
    end = weights.cos.shape[0]
    codec.position[1] = end - 2
    codes = torch.randint(0, 64, (3, 2, 16))
    codes[0, 0, 0] = 2150  # a control code, left by a call that has ended
    with within_arguments():
        codec.decode(torch.tensor([1, SLOTS, SLOTS]), codes, torch.empty(3, 2 * codec.samples_per_frame))
    assert codec.position.tolist() == [0, end, 0, 0, 0]


def test_codes_are_recalled_from_the_ring_alone() -> None:
    history = torch.arange(2 * HISTORY * 16).view(2, HISTORY, 16)
    out = torch.empty(2, 8, 16, dtype=torch.int64)
    with within_arguments():
        sample.recall(history, torch.tensor([1, 0]), torch.tensor([2**33 + 28, 0]), out)
    assert torch.equal(out[0], history[1, [28, 29, 30, 31, 0, 1, 2, 3]])
