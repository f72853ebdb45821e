from __future__ import annotations

import json
import os

import numpy as np
import pytest

from engine.speech import Style, VoiceReference
from engine.voice_store import VoiceStore, VoiceStoreError
from tests.support.tone_engine import RATE_HZ, sound_of

REFERENCE = VoiceReference(sound_of("A voice.", Style()), RATE_HZ, "A voice — « déjà vu ».")


def test_a_voice_survives_a_restart(tmp_path):
    saved = VoiceStore(tmp_path / "voices", 10)
    saved.load()
    saved.save("anna", "de", REFERENCE)
    restarted = VoiceStore(tmp_path / "voices", 10)
    restarted.load()
    voice = restarted.find("Anna")
    assert voice == saved.find("anna")
    assert voice is not None
    assert np.array_equal(voice.reference.pcm, REFERENCE.pcm)
    assert (voice.reference.text, voice.language) == (REFERENCE.text, "de")
    assert voice.duration_s == REFERENCE.pcm.size / RATE_HZ


def test_a_deleted_voice_stays_deleted(tmp_path):
    store = VoiceStore(tmp_path, 10)
    store.save("anna", None, REFERENCE)
    assert store.delete("ANNA")
    assert not store.delete("anna")
    assert store.find("anna") is None
    store.load()
    assert store.voices() == []
    assert list(tmp_path.iterdir()) == []


def test_other_files_in_the_folder_are_left_alone(tmp_path):
    (tmp_path / "vivian.wav").write_bytes(b"somebody else's")
    (tmp_path / "notes.txt").write_text("mine")
    store = VoiceStore(tmp_path, 10)
    store.load()
    assert store.voices() == []
    store.save("anna", None, REFERENCE)
    store.delete("anna")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.txt", "vivian.wav"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "anna.json").write_text("{"),
        lambda folder: (folder / "anna.json").write_text("[]"),
        lambda folder: (folder / "anna.json").write_text(json.dumps({"name": "../anna", "created": 0})),
        lambda folder: (folder / "anna.wav").write_bytes(b"RIFF"),
        lambda folder: (folder / "anna.wav").unlink(),
    ],
)
def test_a_damaged_voice_is_left_out_and_said_so(tmp_path, damage, logged):
    store = VoiceStore(tmp_path, 10)
    store.save("anna", None, REFERENCE)
    store.save("bert", None, REFERENCE)
    damage(tmp_path)
    store.load()
    assert [voice.name for voice in store.voices()] == ["bert"]
    assert "anna" in str(logged)


def test_saving_that_was_cut_short_leaves_no_voice(tmp_path, monkeypatch):
    store = VoiceStore(tmp_path, 10)
    replaced = []

    def replace_once(self, target):
        if replaced:
            raise OSError(28, "No space left on device")
        replaced.append(target)
        os.replace(self, target)

    monkeypatch.setattr("pathlib.Path.replace", replace_once)
    with pytest.raises(VoiceStoreError, match="No space left"):
        store.save("anna", None, REFERENCE)
    assert store.find("anna") is None
    store.load()
    assert store.voices() == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    store = VoiceStore(tmp_path / "file", 10)
    store.load()
    with pytest.raises(VoiceStoreError, match=r"VOICES_DIR=.*file"):
        store.save("anna", None, REFERENCE)


def test_there_is_an_end_to_what_is_stored(tmp_path):
    store = VoiceStore(tmp_path, 1)
    store.save("anna", None, REFERENCE)
    with pytest.raises(VoiceStoreError, match="VOICES_MAX"):
        store.save("bert", None, REFERENCE)


@pytest.mark.parametrize("name", ["", "../anna", "a/b", "Anna", ".anna", "a" * 65, "änna"])
def test_a_name_is_a_file_name_and_nothing_more(tmp_path, name):
    with pytest.raises(ValueError, match="no name"):
        VoiceStore(tmp_path, 10).save(name, None, REFERENCE)
