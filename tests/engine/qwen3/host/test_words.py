"""Text that is still being written: what has been handed on keeps its tokens, whatever follows."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, trainers

from engine.qwen3.host.words import whole_words

LETTERS = ["the", "caller", "it's", "Straße", "你好", "こんにちは", "한국어", "é", "e\u0301", "नमस्ते"]
MARKS = [",", ".", "...", "'", "'s", "!?", "，", "。", "、", "7", "42", "½", "€", "🙂", "-", "(", '"']
OTHERS = [" ", " ", "  ", "\n", "\t", *MARKS]


async def typed(*pieces: str) -> AsyncIterator[str]:
    for piece in pieces:
        yield piece


async def parts_of(*pieces: str) -> list[str]:
    return [part async for part in whole_words(typed(*pieces))]


def some_texts(number: int) -> list[str]:
    chance = random.Random(1)
    return [
        "".join(chance.choice(chance.choice((LETTERS, OTHERS))) for _ in range(chance.randint(1, 25)))
        for _ in range(number)
    ]


def cut(text: str, seed: int) -> list[str]:
    chance = random.Random(seed)
    pieces = []
    while text:
        at = chance.randint(1, 4)
        pieces.append(text[:at])
        text = text[at:]
    return pieces


@pytest.fixture(scope="module")
def tokenizer(checkpoint: Any) -> Tokenizer:
    """The checkpoints' way of cutting a text, with merges learnt from texts like those that are tried."""
    real = checkpoint("custom_voice").tokenizer._tokenizer.backend_tokenizer
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer, tokenizer.pre_tokenizer, tokenizer.decoder = (
        real.normalizer,
        real.pre_tokenizer,
        decoders.ByteLevel(),
    )
    trainer = trainers.BpeTrainer(vocab_size=1200, show_progress=False)
    tokenizer.train_from_iterator(some_texts(2000), trainer)
    return tokenizer


async def test_parts_make_up_the_text_and_keep_their_tokens(tokenizer: Tokenizer) -> None:
    more_than_one = 0
    for seed, text in enumerate(some_texts(1500)):
        parts = await parts_of(*cut(text, seed))
        assert "".join(parts) == text.strip()
        more_than_one += len(parts) > 1
        whole = tokenizer.encode(f"assistant\n{text.strip()}").ids
        so_far = "assistant\n"
        for part in parts:
            so_far += part
            ids = tokenizer.encode(so_far).ids
            assert whole[: len(ids)] == ids, (text, part)
    assert more_than_one > 500


async def test_words_are_handed_on_as_soon_as_they_stand() -> None:
    assert await parts_of("Hel", "lo th", "ere, cal", "ler.") == ["Hello", " there,", " caller."]
    assert await parts_of("你好", "，再", "见。") == ["你好", "，再见", "。"]
    assert await parts_of("  — ", "well ", "then ") == ["— well", " then"]
    assert await parts_of(" ", "…") == ["…"]
    assert await parts_of() == []
