"""Upstream `qwen-tts` and `faster-qwen3-tts` on random weights of the true size: `python -m benchmarks.tts_peers 0.6B`.

Needs qwen-tts (or qwen-tts-hf, the same for newer transformers) and faster-qwen3-tts. Their codecs are not timed.
"""

from __future__ import annotations

import sys
import time
from statistics import median
from typing import Any

import torch
from faster_qwen3_tts.generate import fast_generate
from faster_qwen3_tts.predictor_graph import PredictorGraph
from faster_qwen3_tts.streaming import fast_generate_streaming
from faster_qwen3_tts.talker_graph import TalkerGraph
from qwen_tts.core.models.configuration_qwen3_tts import Qwen3TTSTalkerConfig
from qwen_tts.core.models.modeling_qwen3_tts import Qwen3TTSTalkerForConditionalGeneration

from tests.support.qwen3.random_weights import PREDICTOR_SIZE, TALKER_SIZES, StackSize

DEVICE = "cuda"
PROMPT_POSITIONS = 40
FRAMES = 60


def _stack(size: StackSize) -> dict[str, Any]:
    return {
        "hidden_size": size.hidden,
        "intermediate_size": size.intermediate,
        "num_hidden_layers": size.layers,
        "num_attention_heads": size.heads,
        "num_key_value_heads": size.kv_heads,
        "head_dim": size.head_dim,
        "rope_theta": 1000000,
        "rms_norm_eps": 1e-6,
    }


def _talker(size: str) -> Any:
    predictor = {**_stack(PREDICTOR_SIZE), "vocab_size": 2048, "num_code_groups": 16, "max_position_embeddings": 65536}
    rope = {"interleaved": True, "mrope_section": [24, 20, 20], "rope_type": "default", "rope_theta": 1000000}
    config = Qwen3TTSTalkerConfig(
        code_predictor_config=predictor, vocab_size=3072, text_vocab_size=151936, text_hidden_size=2048,
        max_position_embeddings=32768, num_code_groups=16, rope_scaling=rope,
        codec_eos_token_id=2150, codec_bos_id=2149,
        codec_pad_id=2148, codec_think_id=2154, codec_nothink_id=2155, codec_think_bos_id=2156, codec_think_eos_id=2157,
        position_id_per_seconds=13, **_stack(TALKER_SIZES[size]),
    )  # fmt: skip
    config._attn_implementation = "sdpa"
    torch.set_default_dtype(torch.bfloat16)
    with torch.device(DEVICE):
        model = Qwen3TTSTalkerForConditionalGeneration(config)
    torch.set_default_dtype(torch.float32)
    return model.eval()


def measure_peers(size: str) -> None:
    model = _talker(size)
    hidden = model.config.hidden_size

    def embeds(positions: int) -> torch.Tensor:
        return torch.randn(1, positions, hidden, device=DEVICE, dtype=torch.bfloat16) * 0.02

    prompt, text, pad = embeds(PROMPT_POSITIONS), embeds(FRAMES), embeds(1)
    mask = torch.ones(1, PROMPT_POSITIONS, dtype=torch.long, device=DEVICE)
    drawn = {"do_sample": True, "top_k": 50, "top_p": 1.0, "temperature": 0.9, "repetition_penalty": 1.05}
    sub = {"subtalker_dosample": True, "subtalker_top_k": 50, "subtalker_top_p": 1.0, "subtalker_temperature": 0.9}

    def upstream(frames: int) -> float:
        torch.cuda.synchronize()
        begin = time.perf_counter()
        model.generate(
            inputs_embeds=prompt, attention_mask=mask, trailing_text_hidden=text, tts_pad_embed=pad,
            max_new_tokens=frames, min_new_tokens=frames, eos_token_id=2150,
            suppress_tokens=list(range(2048, 3072)), output_hidden_states=True, return_dict_in_generate=True,
            **drawn, **sub,
        )  # fmt: skip
        torch.cuda.synchronize()
        return time.perf_counter() - begin

    upstream(4)
    ms = (upstream(24) - upstream(4)) / 20 * 1e3
    print(f"upstream {size}: {ms:.1f} ms a frame, {80 / ms:.2f} x realtime")
    predictor = PredictorGraph(
        model.code_predictor, model.config.code_predictor_config, hidden, device=DEVICE, dtype=torch.bfloat16
    )
    talker = TalkerGraph(model.model, model.config, device=DEVICE, dtype=torch.bfloat16, max_seq_len=2048)
    predictor.capture()
    talker.capture(prefill_len=PROMPT_POSITIONS)
    for _ in range(2):
        _, timing = fast_generate(
            model,
            prompt,
            mask,
            text,
            pad,
            model.config,
            predictor,
            talker,
            max_new_tokens=FRAMES,
            min_new_tokens=FRAMES + 1,
        )
    ms = timing["ms_per_step"]
    first = []
    for _ in range(5):
        torch.cuda.synchronize()
        begin = time.perf_counter()
        stream = fast_generate_streaming(
            model,
            prompt,
            mask,
            text,
            pad,
            model.config,
            predictor,
            talker,
            max_new_tokens=20,
            min_new_tokens=21,
            chunk_size=1,
        )
        next(stream)
        torch.cuda.synchronize()
        first.append((time.perf_counter() - begin) * 1e3)
        stream.close()
    print(
        f"faster-qwen3-tts {size}: {ms:.1f} ms a frame, {80 / ms:.2f} x realtime;"
        f" prefill {timing['prefill_ms']:.1f} ms;"
        f" the first frame's codes after {median(first):.1f} ms, without a codec"
    )


if __name__ == "__main__":
    with torch.inference_mode():
        measure_peers(sys.argv[1])
