"""Loading a checkpoint: the errors when something is missing, and what the settings change."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken

from engine.qwen3.model import checkpoint as loading
from engine.qwen3.model import weight_files
from engine.qwen3.model.checkpoint import Checkpoint, load
from engine.qwen3.model.kept_voices import KeptVoices
from engine.qwen3.model.speakers import cloned_speaker, designed_speaker, named_speaker
from engine.qwen3.model.text import TextEmbedder
from engine.qwen3.settings import QwenSettings
from engine.qwen3.worker.build import _fast_runner, build
from engine.speech import SpeechError


def settings_of(folder: Path | str, **more: Any) -> QwenSettings:
    return QwenSettings(**{"model_id": str(folder), "device": "cpu", "dtype": "float32", **more})


def one_line(error: pytest.ExceptionInfo[SpeechError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize(
    "missing", ["config.json", "merges.txt", "model.safetensors", "speech_tokenizer/model.safetensors"]
)
def test_missing_files_are_named(checkpoint_folder: Any, tmp_path: Path, missing: str) -> None:
    folder = tmp_path / "model"
    shutil.copytree(checkpoint_folder("custom_voice"), folder)
    (folder / missing).unlink()
    with pytest.raises(SpeechError) as error:
        load(settings_of(folder))
    assert f"the folder lacks {missing}" in one_line(error)


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(SpeechError) as error:
        load(settings_of(tmp_path / "nowhere"))
    assert "there is no such folder" in one_line(error)


def test_a_model_that_cannot_be_fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(SpeechError) as error:
        load(settings_of("Nobody/no-such-model"))
    assert one_line(error).startswith("MODEL_ID=Nobody/no-such-model cannot be loaded")
    with pytest.raises(SpeechError) as error:
        load(settings_of("Qwen/Qwen3-TTS-0.6B-Base"))
    assert one_line(error).endswith("; did you mean Qwen/Qwen3-TTS-12Hz-0.6B-Base?")


def test_weights_that_are_none(checkpoint_folder: Any, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(checkpoint_folder("custom_voice"), folder)
    (folder / "model.safetensors").write_bytes(b"not safetensors at all")
    with pytest.raises(SpeechError) as error:
        load(settings_of(folder))
    assert "cannot be loaded" in one_line(error)


@pytest.mark.parametrize("kind", ["llama", "bert", None])
def test_a_folder_of_another_model(checkpoint_folder: Any, tmp_path: Path, kind: str | None) -> None:
    """Upstream would draw a model of its own size for it at random."""
    folder = tmp_path / "model"
    shutil.copytree(checkpoint_folder("custom_voice"), folder)
    (folder / "config.json").write_text(json.dumps({"model_type": kind}))
    with pytest.raises(SpeechError) as error:
        load(settings_of(folder))
    assert f"is not Qwen3-TTS: its config.json says model_type {kind!r}" in one_line(error)


def test_a_configuration_that_is_none(checkpoint_folder: Any, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(checkpoint_folder("custom_voice"), folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(SpeechError) as error:
        load(settings_of(folder))
    assert "cannot be loaded" in one_line(error)


@pytest.mark.parametrize(
    ("file", "lost"),
    [
        ("model.safetensors", "talker.model.layers.0.self_attn.q_proj.weight"),
        ("speech_tokenizer/model.safetensors", "decoder.pre_conv.conv.weight"),
    ],
)
def test_a_checkpoint_that_is_not_whole(checkpoint_folder: Any, tmp_path: Path, file: str, lost: str) -> None:
    """Upstream draws what is missing at random, and speaks noise."""
    folder = tmp_path / "model"
    shutil.copytree(checkpoint_folder("custom_voice"), folder)
    weights = load_file(folder / file)
    del weights[lost]
    save_file(weights, folder / file, metadata={"format": "pt"})
    with pytest.raises(SpeechError) as error:
        load(settings_of(folder))
    assert f"is not whole: its files lack {lost}" in one_line(error)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_no_cuda(checkpoint_folder: Any) -> None:
    with pytest.raises(SpeechError) as error:
        load(settings_of(checkpoint_folder("custom_voice"), device="cuda"))
    assert "DEVICE=cuda: no CUDA device can be used here" in one_line(error)


def test_another_gpu_is_the_current_one_for_what_names_none(
    checkpoint_folder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen: list[torch.device] = []

    def begun(*args: Any) -> None:
        assert chosen == [torch.device("cuda:1")]
        raise SpeechError("far enough")

    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.set_device", chosen.append)
    monkeypatch.setattr("engine.qwen3.model.checkpoint._load", begun)
    with pytest.raises(SpeechError, match="far enough"):
        load(settings_of(checkpoint_folder("custom_voice"), device="cuda:1"))


def test_too_little_memory_says_what_would_help(checkpoint_folder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any, **how: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nAnd much more.")

    monkeypatch.setattr("engine.qwen3.model.checkpoint.take_talker", full)
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda device: (2**30, 8 * 2**30))
    with pytest.raises(SpeechError) as error:
        load(settings_of(checkpoint_folder("custom_voice")))
    assert "1.0 of 8.0 GiB of GPU memory were free" in one_line(error)
    assert "QUANTIZE=int8" in str(error.value)


def test_too_little_memory_for_the_callers_is_the_same(checkpoint_folder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any, **how: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr("engine.qwen3.worker.build.Slots", full)
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda device: (2**30, 8 * 2**30))
    with pytest.raises(SpeechError) as error:
        build(settings_of(checkpoint_folder("custom_voice"), max_batch=64))
    assert "MAX_BATCH=64 does not fit" in one_line(error)


@pytest.mark.parametrize("tf32", [True, False])
def test_tf32(checkpoint_folder: Any, tf32: bool) -> None:
    load(settings_of(checkpoint_folder("custom_voice"), tf32=tf32))
    assert torch.backends.cuda.matmul.allow_tf32 is tf32
    assert torch.backends.cudnn.allow_tf32 is tf32


def test_weights_in_bfloat16_and_the_codec_s_own_in_float32(checkpoint_folder: Any, checkpoint: Any) -> None:
    model, exact = load(settings_of(checkpoint_folder("custom_voice"), dtype="bfloat16")), checkpoint("custom_voice")
    assert model.model.talker.embedding.dtype == torch.bfloat16
    assert model.codec.norm.dtype == torch.float32
    assert torch.equal(model.codec.codebooks, exact.codec.codebooks), "not rounded on its way"


def test_the_codec_s_precision(checkpoint_folder: Any) -> None:
    folder = checkpoint_folder("custom_voice")
    assert load(settings_of(folder, codec_dtype="bfloat16")).codec.norm.dtype == torch.bfloat16
    assert build(settings_of(folder, codec_dtype="bfloat16")).facts["codec_dtype"] == "bfloat16"
    assert build(settings_of(folder)).facts["codec_dtype"] == "float32"


@pytest.mark.parametrize(("wanted", "given"), [("auto", "float16"), ("float32", "float32"), ("bfloat16", "bfloat16")])
def test_the_codec_s_precision_reaches_the_kernels(
    checkpoint: Any, monkeypatch: pytest.MonkeyPatch, wanted: str, given: str
) -> None:
    pytest.importorskip("triton")
    dtypes: list[torch.dtype] = []

    class Places:
        def __init__(self, *arguments: Any) -> None:
            dtypes.append(arguments[-1])
            raise RuntimeError("there is no GPU here")

    monkeypatch.setattr("engine.qwen3.cuda.fast_slots.FastSlots", Places)
    monkeypatch.setattr("engine.qwen3.cuda.pinned.Streams.make", lambda device: None)
    monkeypatch.setattr(Checkpoint, "device", property(lambda self: torch.device("cuda")))
    warnings: list[str] = []
    settings = settings_of("any", dtype="bfloat16", codec_dtype=wanted)
    assert _fast_runner(checkpoint("custom_voice"), settings, warnings) is None
    assert dtypes == [getattr(torch, given)]
    assert "there is no GPU here" in warnings[0]


def test_cloning_keeps_its_encoders_and_the_rest_is_given_back(checkpoint: Any) -> None:
    assert checkpoint("custom_voice").encoders is None, "it clones nobody"
    encoders = checkpoint("base").encoders
    encoders.voice(np.zeros(24000, np.float32), 24000, None)
    model = encoders._upstream.model
    assert not hasattr(model, "talker")
    assert model.speaker_encoder is not None
    assert not hasattr(model.speech_tokenizer.model, "decoder")
    assert model.speech_tokenizer.model.encoder is not None


@pytest.mark.usefixtures("no_grad")
def test_text_embedding_on_the_host_and_projected_ahead_are_the_same(upstream: Any, checkpoint: Any) -> None:
    talker = upstream("custom_voice").tts.model.talker
    device = torch.device("cpu")
    host, gpu = (TextEmbedder.of(talker, device, where) for where in ("host", "gpu"))
    ids = [0, 5, 270, 511]
    expected = talker.text_projection(talker.get_text_embeddings()(torch.tensor(ids)))
    torch.testing.assert_close(host(ids), expected)
    torch.testing.assert_close(gpu(ids), expected)
    assert gpu.device_bytes == 512 * 32 * 4


def test_names_and_languages_are_the_checkpoint_s(checkpoint: Any) -> None:
    custom = checkpoint("custom_voice")
    assert custom.kind == "custom_voice"
    assert not custom.instructable, "0.6B ignores instructions"
    assert checkpoint("custom_voice", True).instructable
    assert not checkpoint("base").instructable
    assert custom.ids.languages["english"] == 2050
    assert named_speaker(custom, "eric").dialect == "sichuan_dialect"
    assert named_speaker(custom, "ryan").dialect is None
    assert custom.sampling.temperature == 0.9
    assert custom.sampling.repetition_penalty == 1.05


@pytest.mark.parametrize(
    ("kind", "wide", "dtype", "codec_dtype"),
    [
        ("custom_voice", False, "float32", "auto"),
        ("base", False, "bfloat16", "bfloat16"),
        ("base", True, "bfloat16", "auto"),
    ],
)
def test_the_files_give_what_upstream_gives(
    checkpoint_folder: Any, monkeypatch: pytest.MonkeyPatch, kind: str, wide: bool, dtype: str, codec_dtype: str
) -> None:
    """Every tensor, setting and token: upstream is only asked where the files are not as expected."""
    settings = settings_of(checkpoint_folder(kind, wide), dtype=dtype, codec_dtype=codec_dtype)
    with monkeypatch.context() as patch:
        patch.setattr(loading, "through_upstream", None)
        ours = load(settings)
    with monkeypatch.context() as patch:
        patch.setattr(loading, "read_files", None)
        theirs = load(settings)
    for name in ("kind", "size", "ids", "quantized", "sampling", "warnings"):
        assert getattr(ours, name) == getattr(theirs, name)
    assert_same(ours.model, theirs.model)
    assert_same(ours.codec, theirs.codec)
    for text in (
        "Hello, assistant!",
        "  two  spaces\n\nand\r\nlines ",
        "Straße, naïve, e\u0301, 東京 😀",
        "<|im_end|> 12345 it's",
    ):
        assert ours.tokenizer.text(text) == theirs.tokenizer.text(text)
        assert ours.tokenizer.instruction(text) == theirs.tokenizer.instruction(text)
    words = ours.tokenizer.text("assistant")
    speaker = designed_speaker()
    assert_same(ours.prompts.build(words, speaker).embeds, theirs.prompts.build(words, speaker).embeds)


def assert_same(ours: Any, theirs: Any) -> None:
    if isinstance(ours, torch.Tensor):
        assert ours.dtype == theirs.dtype
        assert torch.equal(ours, theirs)
    elif isinstance(ours, tuple):
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            assert_same(one, other)
    elif is_dataclass(ours):
        for each in fields(ours):
            assert_same(getattr(ours, each.name), getattr(theirs, each.name))
    else:
        assert ours == theirs


def test_a_language_model_s_tokenizer_cuts_texts_as_transformers_does(tmp_path: Path) -> None:
    """The tiny checkpoints know one word; here every other pair of characters has been learnt."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import Qwen2TokenizerFast

    texts = [path.read_text("utf-8") for path in sorted(Path(loading.__file__).parent.glob("*.py"))]
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trained.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=2000, initial_alphabet=alphabet))
    trained.model.save(str(tmp_path))
    size = trained.get_vocab_size()
    added = {"<|im_start|>": size, "<|im_end|>": size + 1}
    known = {str(at): {"content": name, "special": True, "normalized": False} for name, at in added.items()}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"added_tokens_decoder": known}))
    decoder = {at: AddedToken(name, special=True, normalized=False) for name, at in added.items()}
    files = [str(tmp_path / name) for name in ("vocab.json", "merges.txt")]
    theirs = Qwen2TokenizerFast(*files, added_tokens_decoder=decoder)
    ours = weight_files._tokenizer(tmp_path)
    random = Random(1)
    pieces = [*(word for text in texts for word in text.split()), " ", "  ", "\n", "\r\n", "\t", "'s", "'LL", "12", "é"]
    pieces += ["e\u0301", "ß", "東京", "한국어", "😀", "<|im_end|>", "<|im_start|>", "\u00a0", "…", "?!", "x²"]
    for _ in range(300):
        text = "".join(random.choice(pieces) for _ in range(random.randint(1, 12)))
        assert ours(text) == theirs(text)["input_ids"], text


def test_speaking_imports_nothing_of_upstream(checkpoint_folder: Any) -> None:
    """It takes longer to import than all else together."""
    code = (
        "import sys; from engine.qwen3.settings import QwenSettings; from engine.qwen3.worker.build import build;"
        f"build(QwenSettings(model_id={str(checkpoint_folder('custom_voice'))!r}, device='cpu', dtype='float32'));"
        "print(*({'qwen_tts', 'transformers', 'torch._dynamo'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == ""


def test_a_learnt_voice_is_read_from_disk(checkpoint: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what the administrator has recorded is kept, and only for the model that has learnt it."""
    pcm = (np.random.default_rng(1).normal(size=48000) * 3000).astype(np.int16)
    base = replace(checkpoint("base"), voices=KeptVoices(tmp_path, "one"))
    passing = cloned_speaker(base, "passing", pcm, 24000, "words")
    assert not list(tmp_path.iterdir())
    learnt = cloned_speaker(base, "kept", pcm, 24000, "words", keep=True)
    asked: list[str] = []

    def learn(*_: Any) -> Any:
        asked.append("again")
        return passing.embedding, None

    deaf = replace(base, encoders=SimpleNamespace(voice=learn))
    known = cloned_speaker(deaf, "kept", pcm, 24000, "words", keep=True)
    assert not asked
    assert known.reference is not None
    assert learnt.reference is not None
    assert torch.equal(known.embedding, learnt.embedding)
    assert torch.equal(known.reference.codes, learnt.reference.codes)
    assert known.reference.text_ids == learnt.reference.text_ids
    cloned_speaker(replace(deaf, voices=KeptVoices(tmp_path, "another")), "kept", pcm, 24000, "words", keep=True)
    assert asked == ["again"]
    for path in tmp_path.iterdir():
        path.write_bytes(b"broken")
    cloned_speaker(deaf, "kept", pcm, 24000, "words", keep=True)
    assert asked == ["again", "again"]
