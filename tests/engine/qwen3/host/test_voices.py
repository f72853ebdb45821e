"""The voices that can be asked for by name, on each kind of model."""

from __future__ import annotations

import asyncio
import json
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.qwen3.host.clones import Clones
from engine.qwen3.host.voices import ALIASES, NAMED, Catalog, kind_of, recorded_voices
from engine.settings import VoiceSettings
from engine.speech import UnknownVoice, VoiceReference

OPENAI = [
    *["alloy", "ash", "ballad", "coral", "echo", "fable", "onyx", "nova", "sage"],
    "shimmer",
    "verse",
    "marin",
    "cedar",
]


def write_wav(path: Path, seconds: float = 2.0, rate_hz: int = 16000, level: float = 0.3) -> None:
    t = np.arange(int(seconds * rate_hz)) / rate_hz
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes((np.sin(2 * np.pi * 150 * t) * level * 32767).astype("<i2").tobytes())


def a_reference() -> VoiceReference:
    return VoiceReference(np.zeros(100, np.int16), 24000)


@pytest.mark.parametrize("kind", ["custom_voice", "voice_design"])
def test_nine_voices_and_openai_s_names(kind: str) -> None:
    catalog = Catalog(kind)
    assert [voice.id for voice in catalog.voices()] == list(NAMED)
    assert catalog.resolve("") == "ryan"
    assert catalog.resolve("Uncle Fu") == catalog.resolve("UNCLE_FU") == "uncle_fu"
    assert {catalog.resolve(name) for name in OPENAI} <= set(NAMED)
    assert set(OPENAI) == set(ALIASES)
    assert not catalog.warnings()
    with pytest.raises(UnknownVoice) as error:
        catalog.resolve("nobody")
    assert error.value.known == tuple(NAMED)


def test_base_speaks_with_the_recordings_it_was_given() -> None:
    catalog = Catalog("base", {"vivian": a_reference(), "our_receptionist": a_reference()})
    assert [voice.id for voice in catalog.voices()] == ["vivian", "our_receptionist"]
    assert catalog.resolve("Nova") == "vivian"
    assert catalog.resolve("our receptionist") == "our_receptionist"
    assert catalog.resolve("ryan") == "vivian", "the nine are known on every model"
    (warning,) = catalog.warnings()
    assert "ryan" in warning
    assert "vivian," not in warning
    with pytest.raises(UnknownVoice):
        catalog.resolve("nobody")


def test_recordings_are_found_with_their_words(tmp_path: Path, logged: list[Any]) -> None:
    for name in ("zoe", "serena", "ryan", "uploaded", "short", "silent"):
        write_wav(tmp_path / f"{name}.wav")
    write_wav(tmp_path / "short.wav", seconds=0.1)
    write_wav(tmp_path / "silent.wav", level=0.0)
    (tmp_path / "serena.txt").write_text(" What Serena says. \n")
    (tmp_path / "uploaded.json").write_text(json.dumps({"name": "uploaded"}))
    (tmp_path / "junk.wav").write_bytes(b"RIFF but not really")
    found = recorded_voices(VoiceSettings(voices_dir=tmp_path))
    assert list(found) == ["ryan", "serena", "zoe"], "the nine first, in their order"
    assert found["serena"].text == "What Serena says."
    assert found["ryan"].text is None
    assert found["ryan"].sample_rate_hz == 16000
    assert {word for word in ("short", "silent", "junk") if word in str(logged)} == {"short", "silent", "junk"}


def test_no_folder_is_no_error(tmp_path: Path) -> None:
    assert recorded_voices(VoiceSettings(voices_dir=tmp_path / "none")) == {}


@pytest.mark.parametrize(
    ("model_id", "kind"),
    [
        ("Qwen/Qwen3-TTS-12Hz-0.6B-Base", "base"),
        ("Qwen/Qwen3-TTS-12Hz-1.7B-CustomVoice", "custom_voice"),
        ("Qwen/Qwen3-TTS-12Hz-1.7B-VoiceDesign", "voice_design"),
        ("somebody/finetuned", "base"),
    ],
)
def test_kind_by_name(model_id: str, kind: str) -> None:
    assert kind_of(model_id) == kind


def test_kind_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"tts_model_type": "custom_voice"}))
    assert kind_of(str(tmp_path)) == "custom_voice"


async def test_only_what_the_administrator_recorded_may_be_kept_on_disk() -> None:
    ours, callers = (VoiceReference(np.full(10, each, np.int16), 24000, "words") for each in (1, 2))
    catalog, sent = Catalog("base", {"ryan": ours}), list[Any]()
    clones = Clones(sent.append, 4, 5.0)
    again = VoiceReference(ours.pcm.copy(), 24000, "words")
    for reference in (again, callers):
        async with asyncio.TaskGroup() as group:
            group.create_task(held(clones, catalog, reference))
            await asyncio.sleep(0)
            clones.on_learned(reference.digest, None)
    assert [learn.keep for learn in sent] == [True, False]


async def held(clones: Clones, catalog: Catalog, reference: VoiceReference) -> None:
    async with clones.held(reference, catalog.owns(reference)):
        pass
