"""A checkpoint as its files have it: weights under the names of upstream's modules, settings, tokenizer.

Upstream's package takes 5 s to import and is needed for none of this. Whatever is not as expected raises; the caller
then loads through upstream, which says what is wrong.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

import torch

# What upstream's decoder has in its code and not in its files.
DILATIONS: Final = (1, 3, 9)
SMALLEST_USAGE: Final = 1e-5
NO_DIV_BY_ZERO: Final = 1e-9
# Qwen2's way to cut a text into the pieces that are encoded one by one.
PIECES: Final = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@dataclass(frozen=True, slots=True)
class Parts:
    """What a checkpoint consists of, in upstream's shape, whoever has read it."""

    config: Any
    talker: Any
    decoder: Any
    encode: Callable[[str], list[int]]
    """From a text to its tokens."""
    generation: dict[str, Any]


class Node:
    """One of upstream's modules: its parts by their names or numbers. A weight is read when it is asked for."""

    if TYPE_CHECKING:  # what is added to what the files have
        config: Any

    def __init__(self) -> None:
        self._parts: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        parts = self.__dict__["_parts"]
        if name == "bias" and name not in parts and "weight" in parts:
            return None
        if name not in parts:
            raise AttributeError(f"the files have no {name}")
        part = parts[name]
        return part if isinstance(part, Node) else part()

    def __len__(self) -> int:
        return len(self._parts)

    def __iter__(self) -> Iterator[Node]:
        return iter([self._parts[str(number)] for number in range(len(self._parts))])

    def __getitem__(self, which: int | slice) -> Any:
        return list(self)[which]


def read_files(folder: Path, dtype: torch.dtype, codec_dtype: torch.dtype) -> Parts:
    """Reads a checkpoint's folder. dtype is the talker's and the predictor's, codec_dtype the codec's."""
    config = json.loads((folder / "config.json").read_text("utf-8"))
    if config.get("model_type") != "qwen3_tts":
        raise ValueError("not Qwen3-TTS")
    talker = _named(folder, "talker.", dtype)
    of = config["talker_config"]
    talker.config, talker.code_predictor.config = (
        SimpleNamespace(**each) for each in (of, of["code_predictor_config"])
    )
    predictor = talker.code_predictor
    groups = of["num_code_groups"]
    _expect(talker.model.layers, of["num_hidden_layers"])
    _expect(predictor.model.layers, predictor.config.num_hidden_layers)
    _expect(predictor.model.codec_embedding, groups - 1)
    _expect(predictor.lm_head, groups - 1)
    generation = folder / "generation_config.json"
    return Parts(
        SimpleNamespace(**{**config, "talker_config": SimpleNamespace(**of)}),
        talker,
        _decoder(folder / "speech_tokenizer", codec_dtype),
        _tokenizer(folder),
        json.loads(generation.read_text("utf-8")) if generation.exists() else {},
    )


def _decoder(folder: Path, dtype: torch.dtype) -> Node:
    config = SimpleNamespace(**json.loads((folder / "config.json").read_text("utf-8"))["decoder_config"])
    decoder = _named(folder, "decoder.", dtype)
    decoder.config = config
    _expect(decoder.pre_transformer.layers, config.num_hidden_layers)
    _expect(decoder.upsample, len(config.upsampling_ratios))
    _expect(decoder.decoder, len(config.upsample_rates) + 3)
    first, rest = (quantizer.vq.layers for quantizer in (decoder.quantizer.rvq_first, decoder.quantizer.rvq_rest))
    _expect(first, 1)
    _expect(rest, config.num_quantizers - 1)
    for layer in (*first, *rest):
        layer._codebook.epsilon = SMALLEST_USAGE
    for module in (decoder.pre_conv, decoder.decoder[0], decoder.decoder[-1]):
        _shape(module)
    for (transposed, block), ratio in zip(decoder.upsample, config.upsampling_ratios, strict=True):
        transposed.conv.stride = (ratio,)
        _shape(block.dwconv, groups=config.latent_dim)
    for module, rate in zip(decoder.decoder[1:-2], config.upsample_rates, strict=True):
        snake, transposed, *units = module.block
        transposed.conv.stride = (rate,)
        snake.no_div_by_zero = NO_DIV_BY_ZERO
        for unit, dilation in zip(units, DILATIONS, strict=True):
            unit.act1.no_div_by_zero = unit.act2.no_div_by_zero = NO_DIV_BY_ZERO
            _shape(unit.conv1, dilation)
            _shape(unit.conv2)
    decoder.decoder[-2].no_div_by_zero = NO_DIV_BY_ZERO
    return decoder


def _shape(module: Any, dilation: int = 1, groups: int = 1) -> None:
    module.conv.dilation, module.conv.groups = (dilation,), groups


def _expect(parts: Node, number: int) -> None:
    if len(parts) != number:
        raise ValueError(f"{number} parts expected, not {len(parts)}")


def _named(folder: Path, prefix: str, dtype: torch.dtype) -> Node:
    """Returns the module of all the folder's weights whose names begin so."""
    from safetensors import safe_open

    def reader(file: Any, name: str) -> Callable[[], torch.Tensor]:
        def read() -> torch.Tensor:
            tensor: torch.Tensor = file.get_tensor(name)
            return tensor.to(dtype) if tensor.is_floating_point() else tensor

        return read

    root = Node()
    for path in sorted(folder.glob("*.safetensors")):
        file = safe_open(path, framework="pt", device="cpu")
        for name in file.keys():  # type: ignore[no-untyped-call]  # noqa: SIM118 (it is no mapping)
            if not name.startswith(prefix):
                continue
            *modules, weight = name.removeprefix(prefix).split(".")
            node = root
            for module in modules:
                node = node._parts.setdefault(module, Node())
            node._parts[weight] = reader(file, name)
    return root


def _tokenizer(folder: Path) -> Callable[[str], list[int]]:
    """Returns what transformers' Qwen2 tokenizer does to a text, control tokens in it included."""
    from tokenizers import AddedToken, Regex, Tokenizer
    from tokenizers.models import BPE
    from tokenizers.normalizers import NFC
    from tokenizers.pre_tokenizers import ByteLevel, Sequence, Split

    if (folder / "tokenizer.json").is_file():
        made = Tokenizer.from_file(str(folder / "tokenizer.json"))
    else:
        made = Tokenizer(BPE.from_file(str(folder / "vocab.json"), str(folder / "merges.txt")))
        made.normalizer = NFC()
        made.pre_tokenizer = Sequence(
            [Split(Regex(PIECES), behavior="isolated"), ByteLevel(add_prefix_space=False, use_regex=False)]
        )
    settings = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
    if settings.get("add_prefix_space"):
        raise ValueError("a prefix space is expected")
    added = {int(number): token for number, token in settings.get("added_tokens_decoder", {}).items()}
    for number in sorted(added):
        content = added[number]["content"]
        flags = {name: bool(added[number].get(name)) for name in ("single_word", "lstrip", "rstrip", "normalized")}
        made.add_tokens([AddedToken(content, special=bool(added[number].get("special")), **flags)])
        if made.token_to_id(content) != number:
            raise ValueError(f"{content} has another number")
    return lambda text: [int(each) for each in made.encode(text, add_special_tokens=False).ids]
