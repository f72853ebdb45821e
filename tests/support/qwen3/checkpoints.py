"""Builds Qwen3-TTS checkpoints in the real format, tiny or of the true sizes: every part, random weights."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from qwen_tts.core.models.configuration_qwen3_tts import Qwen3TTSConfig
from qwen_tts.core.models.modeling_qwen3_tts import Qwen3TTSForConditionalGeneration
from qwen_tts.core.tokenizer_12hz.configuration_qwen3_tts_tokenizer_v2 import Qwen3TTSTokenizerV2Config
from qwen_tts.core.tokenizer_12hz.modeling_qwen3_tts_tokenizer_v2 import Qwen3TTSTokenizerV2Model
from safetensors.torch import save_file
from transformers import EncodecFeatureExtractor

Kind = Literal["base", "custom_voice", "voice_design"]

EOS = 2150
SPEAKERS = ("serena", "vivian", "uncle_fu", "ryan", "aiden", "ono_anna", "sohee", "eric", "dylan")
SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<tts_pad>", "<tts_text_bos>", "<tts_text_eod>")
LANGUAGES = {
    "chinese": 2055,
    "english": 2050,
    "german": 2053,
    "italian": 2070,
    "portuguese": 2071,
    "spanish": 2054,
    "japanese": 2058,
    "korean": 2064,
    "french": 2061,
    "russian": 2069,
    "sichuan_dialect": 2062,
}


def _tokenizer(folder: Path) -> tuple[dict[str, int], int]:
    """A byte-level BPE with one learned word, "assistant", which the prompt's role line needs to be one token."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    characters = [chr(b) for b in printable] + [chr(256 + i) for i in range(256 - len(printable))]
    vocabulary = {c: i for i, c in enumerate(characters)}
    word = "assistant"
    merges = []
    for end in range(1, len(word)):
        merges.append(f"{word[:end]} {word[end]}")
        vocabulary[word[: end + 1]] = len(vocabulary)
    special = {token: len(vocabulary) + i for i, token in enumerate(SPECIAL_TOKENS)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]))
    flags = {"special": True, "lstrip": False, "rstrip": False, "normalized": False, "single_word": False}
    settings = {
        "tokenizer_class": "Qwen2Tokenizer",
        "processor_class": "Qwen3TTSProcessor",
        "added_tokens_decoder": {str(i): {"content": token, **flags} for token, i in special.items()},
        "additional_special_tokens": list(SPECIAL_TOKENS[1:]),
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "unk_token": None,
        "bos_token": None,
        "model_max_length": 32768,
        "add_prefix_space": False,
        "errors": "replace",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "preprocessor_config.json").write_text(json.dumps({"processor_class": "Qwen3TTSProcessor"}))
    return special, vocabulary[word]


def _save(model: torch.nn.Module, config: dict[str, Any], folder: Path) -> None:
    # By hand: save_pretrained writes configuration keys that the package's own classes refuse to read back.
    (folder / "config.json").write_text(json.dumps({**config, "architectures": [type(model).__name__]}))
    tensors = {name: tensor.contiguous().clone() for name, tensor in model.state_dict().items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


@dataclass(frozen=True)
class Size:
    """What of a checkpoint's configuration depends on its size."""

    name: str  # as the checkpoint writes it
    talker: dict[str, Any]
    predictor: dict[str, Any]
    codec_decoder: dict[str, Any]
    codec_encoder: dict[str, Any]


_TINY_LAYERS = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "intermediate_size": 64}
_TINY_TALKER = {**_TINY_LAYERS, "num_hidden_layers": 2, "text_hidden_size": 40, "text_vocab_size": 512}
_TINY_CODEC = {
    "latent_dim": 64,
    "codebook_dim": 32,
    "decoder_dim": 64,
    "hidden_size": 32,
    "intermediate_size": 64,
    "head_dim": 8,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "num_key_value_heads": 4,
    "vector_quantization_hidden_dimension": 32,
}
_TINY_ENCODER = {
    "num_filters": 4,
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "head_dim": 8,
    "intermediate_size": 64,
    "codebook_dim": 16,
    "vector_quantization_hidden_dimension": 16,
    "upsample_groups": 32,
}
_TRUE_LAYERS = {"num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128}
_TRUE_TALKER = {**_TRUE_LAYERS, "num_hidden_layers": 28, "text_hidden_size": 2048, "text_vocab_size": 151936}
_TRUE_PREDICTOR = {**_TRUE_LAYERS, "hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 5}
_TRUE_CODEC = {
    "latent_dim": 1024,
    "codebook_dim": 512,
    "decoder_dim": 1536,
    "hidden_size": 512,
    "intermediate_size": 1024,
    "head_dim": 64,
    "num_attention_heads": 16,
    "num_hidden_layers": 8,
    "num_key_value_heads": 16,
    "vector_quantization_hidden_dimension": 512,
}
_TRUE_ENCODER = {
    "num_filters": 64,
    "hidden_size": 512,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "num_key_value_heads": 8,
    "head_dim": 64,
    "intermediate_size": 2048,
    "codebook_dim": 256,
    "vector_quantization_hidden_dimension": 256,
    "upsample_groups": 512,
}
_TINY_PREDICTOR = {**_TINY_LAYERS, "hidden_size": 32, "num_hidden_layers": 2}

SIZES = {
    "tiny": Size("0b6", {**_TINY_TALKER, "hidden_size": 32}, _TINY_PREDICTOR, _TINY_CODEC, _TINY_ENCODER),
    # The talker is wider than the predictor, as in 1.7B, where a projection lies between them.
    "tiny, wide": Size("1b7", {**_TINY_TALKER, "hidden_size": 48}, _TINY_PREDICTOR, _TINY_CODEC, _TINY_ENCODER),
    "0.6B": Size(
        "0b6",
        {**_TRUE_TALKER, "hidden_size": 1024, "intermediate_size": 3072},
        _TRUE_PREDICTOR,
        _TRUE_CODEC,
        _TRUE_ENCODER,
    ),
    "1.7B": Size(
        "1b7",
        {**_TRUE_TALKER, "hidden_size": 2048, "intermediate_size": 6144},
        _TRUE_PREDICTOR,
        _TRUE_CODEC,
        _TRUE_ENCODER,
    ),
}


def _model_config(kind: Kind, special: dict[str, int], assistant: int, size: Size) -> dict[str, Any]:
    common = {"attention_bias": False, "attention_dropout": 0, "hidden_act": "silu", "rms_norm_eps": 1e-6}
    common |= {"initializer_range": 0.02, "rope_theta": 1000000, "sliding_window": None, "use_cache": True}
    predictor = {
        **common,
        **size.predictor,
        "model_type": "qwen3_tts_talker_code_predictor",
        "layer_types": ["full_attention"] * size.predictor["num_hidden_layers"],
        "max_position_embeddings": 65536,
        "num_code_groups": 16,
        "rope_scaling": None,
        "vocab_size": 2048,
    }
    dialects = {name: "sichuan_dialect" if name == "eric" else False for name in SPEAKERS}
    # Half the head's dimensions, shared out among three positions that are always equal.
    sections = [24, 20, 20] if size.talker["head_dim"] == 128 else [2, 1, 1]
    talker = {
        **common,
        **size.talker,
        "model_type": "qwen3_tts_talker",
        "code_predictor_config": predictor,
        "codec_bos_id": 2149,
        "codec_eos_token_id": EOS,
        "codec_pad_id": 2148,
        "codec_think_id": 2154,
        "codec_nothink_id": 2155,
        "codec_think_bos_id": 2156,
        "codec_think_eos_id": 2157,
        "codec_language_id": LANGUAGES,
        "spk_id": {name: 3050 + i for i, name in enumerate(SPEAKERS)} if kind == "custom_voice" else {},
        "spk_is_dialect": dialects if kind == "custom_voice" else {},
        "max_position_embeddings": 32768,
        "num_code_groups": 16,
        "position_id_per_seconds": 13,
        "rope_scaling": {"interleaved": True, "mrope_section": sections, "rope_type": "default", "type": "default"},
        "vocab_size": 3072,
    }
    return {
        "model_type": "qwen3_tts",
        "tokenizer_type": "qwen3_tts_tokenizer_12hz",
        "tts_model_size": size.name,
        "tts_model_type": kind,
        "assistant_token_id": assistant,
        "im_start_token_id": special["<|im_start|>"],
        "im_end_token_id": special["<|im_end|>"],
        "tts_pad_token_id": special["<tts_pad>"],
        "tts_bos_token_id": special["<tts_text_bos>"],
        "tts_eos_token_id": special["<tts_text_eod>"],
        "speaker_encoder_config": {"enc_dim": talker["hidden_size"], "sample_rate": 24000},
        "talker_config": talker,
    }


def _codec_config(size: Size) -> dict[str, Any]:
    """The real codec's structure and rates: 1,920 samples a frame, a window of 72 frames, 16 codebooks."""
    decoder = {
        **size.codec_decoder,
        "codebook_size": 2048,
        "hidden_act": "silu",
        "layer_scale_initial_scale": 0.01,
        "max_position_embeddings": 8000,
        "num_quantizers": 16,
        "num_semantic_quantizers": 1,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000,
        "semantic_codebook_size": 4096,
        "sliding_window": 72,
        "upsample_rates": [8, 5, 4, 3],
        "upsampling_ratios": [2, 2],
        "attention_bias": False,
        "attention_dropout": 0.0,
    }
    encoder = {
        **size.codec_encoder,
        "_frame_rate": 12.5,
        "audio_channels": 1,
        "kernel_size": 7,
        "residual_kernel_size": 3,
        "last_kernel_size": 3,
        "num_residual_layers": 1,
        "compress": 2,
        "dilation_growth_rate": 2,
        "upsampling_ratios": [8, 6, 5, 4],
        "hidden_act": "gelu",
        "norm_eps": 1e-5,
        "layer_scale_initial_scale": 0.01,
        "rope_theta": 10000.0,
        "max_position_embeddings": 8000,
        "sliding_window": 250,
        "num_quantizers": 32,
        "num_semantic_quantizers": 1,
        "codebook_size": 2048,
        "pad_mode": "constant",
        "use_causal_conv": True,
        "trim_right_ratio": 1.0,
        "use_conv_shortcut": False,
        "sampling_rate": 24000,
    }
    return {
        "model_type": "qwen3_tts_tokenizer_12hz",
        "encoder_valid_num_quantizers": 16,
        "input_sample_rate": 24000,
        "output_sample_rate": 24000,
        "decode_upsample_rate": 1920,
        "encode_downsample_rate": 1920,
        "encoder_config": encoder,
        "decoder_config": decoder,
    }


def _spread(model: torch.nn.Module, gain: float = 1.0) -> None:
    """Random values everywhere, norms and biases too: a weight that is forgotten or swapped shows in the output.

    Scaled by fan-in, so that signals keep their size through the layers as they do in a trained model.
    """
    for name, parameter in model.named_parameters():
        if name.endswith(("cluster_usage", "alpha", "beta")) or (parameter.ndim == 1 and "norm" in name):
            parameter.data.uniform_(0.5, 1.5)
        elif parameter.ndim == 1:
            parameter.data.normal_(std=0.1)
        elif "embedding" in name:
            parameter.data.normal_()
        else:
            parameter.data.normal_(std=gain * parameter[0].numel() ** -0.5)


def build_checkpoint(
    folder: Path,
    kind: Kind,
    size: str = "tiny",
    seed: int = 0,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    end_gain: float = 2.2,
) -> Path:
    """Writes a checkpoint of one of SIZES and returns its folder. Made on `device`: a true size takes a GPU's speed.

    With `end_gain` 0 no sentence ends by itself, and all of one length of text are equally long.
    """
    folder.mkdir(parents=True, exist_ok=True)
    special, assistant = _tokenizer(folder)
    config = _model_config(kind, special, assistant, SIZES[size])
    torch.manual_seed(seed)
    with torch.device(device):
        model = Qwen3TTSForConditionalGeneration(Qwen3TTSConfig(**copy.deepcopy(config))).eval()
        _spread(model)
        # End of speech comes up once in some twenty frames, so that calls end at different times.
        model.talker.codec_head.weight.data[EOS] *= end_gain
    _save(model.to(dtype), config, folder)
    generation = {"do_sample": True, "temperature": 0.9, "top_k": 50, "top_p": 1.0, "repetition_penalty": 1.05}
    generation |= {"subtalker_dosample": True, "subtalker_top_k": 50, "subtalker_top_p": 1.0}
    generation |= {"subtalker_temperature": 0.9, "max_new_tokens": 2048}
    (folder / "generation_config.json").write_text(json.dumps(generation))

    codec_folder = folder / "speech_tokenizer"
    codec_folder.mkdir(exist_ok=True)
    codec_config = _codec_config(SIZES[size])
    with torch.device(device), torch.inference_mode():
        codec = Qwen3TTSTokenizerV2Model(Qwen3TTSTokenizerV2Config(**copy.deepcopy(codec_config))).eval()
        # Below 1, for the residual branches add up; then to a speaking level, for a clipped output would hide errors.
        _spread(codec.decoder, gain=0.7)
        level = codec.decoder(torch.randint(0, 2048, (1, 16, 20))).std()
        codec.decoder.decoder[-1].conv.weight *= 0.2 / level
        codec.decoder.decoder[-1].conv.bias *= 0
    _save(codec, codec_config, codec_folder)
    EncodecFeatureExtractor(feature_size=1, sampling_rate=24000, padding_value=0.0).save_pretrained(codec_folder)
    return folder
