"""The voices of the Qwen3-TTS engine by name: the same nine on every model. This module imports no torch."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import structlog

from engine.hibari import HibariEngine
from engine.qwen3.settings import LANGUAGES
from engine.recording import InvalidRecording, read_recording
from engine.settings import VoiceSettings
from engine.speech import CannotClone, SpeechError, Style, UnknownVoice, UnspeakableText, Voice, VoiceReference

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Named:
    """One of the nine voices. A VoiceDesign model makes it after its description."""

    name: str
    description: str


# The names and characters of the CustomVoice models' speakers. The first is the default: a native speaker of English.
NAMED: Final = {
    "ryan": Named("Ryan", "A dynamic male voice with strong rhythmic drive."),
    "aiden": Named("Aiden", "A sunny American male voice with a clear midrange."),
    "vivian": Named("Vivian", "A bright, slightly edgy young female voice."),
    "serena": Named("Serena", "A warm, gentle young female voice."),
    "uncle_fu": Named("Uncle Fu", "A seasoned male voice with a low, mellow timbre."),
    "dylan": Named("Dylan", "A youthful Beijing male voice with a clear, natural timbre."),
    "eric": Named("Eric", "A lively Chengdu male voice with a slightly husky brightness."),
    "ono_anna": Named("Ono Anna", "A playful Japanese female voice with a light, nimble timbre."),
    "sohee": Named("Sohee", "A warm Korean female voice with rich emotion."),
}
# OpenAI's voices, each with the nearest of the nine.
ALIASES: Final = {
    "alloy": "aiden",
    "ash": "ryan",
    "ballad": "dylan",
    "cedar": "uncle_fu",
    "coral": "serena",
    "echo": "eric",
    "fable": "dylan",
    "marin": "sohee",
    "nova": "vivian",
    "onyx": "uncle_fu",
    "sage": "sohee",
    "shimmer": "ono_anna",
    "verse": "ryan",
}
HOUSE: Final = "house"
"""The voice of a Base model to which no recording was given: the embedded engine's, which it clones."""
# What the embedded engine says for it: a sentence with as many different sounds as it can hold.
HOUSE_TEXT: Final = "Good morning, and thank you for calling. I will gladly tell you all that I know about it."


def kind_of(model_id: str) -> str:
    """Returns the kind of MODEL_ID before it is loaded, by a local folder's configuration or its name on the Hub."""
    config = Path(model_id).expanduser() / "config.json"
    try:
        kind = json.loads(config.read_text("utf-8")).get("tts_model_type")
    except (OSError, ValueError):
        kind = None
    for known in ("base", "custom_voice", "voice_design"):
        if kind == known or (kind is None and known.replace("_", "") in model_id.lower()):
            return known
    return "base"


class Catalog:
    """The voices that can be asked for, and what each is made from."""

    def __init__(self, kind: str, references: Mapping[str, VoiceReference] | None = None) -> None:
        """kind: "base", "custom_voice" or "voice_design"; references: a Base model's recordings, the default first."""
        self.kind = kind
        self.references = dict(references or {})
        self.instructable = False
        """Whether the model can be told how to speak; known once it is loaded."""
        # Before its recordings are looked for, a Base model has the voice that it has without any.
        self._ids = list(NAMED) if kind != "base" else list(self.references) or [HOUSE]

    def owns(self, reference: VoiceReference | None) -> bool:
        """Tells whether a recording is one of the model's own voices: the administrator's, or the embedded engine's."""
        return reference in self.references.values()

    def voices(self) -> Sequence[Voice]:
        """Returns the voices, the default first."""
        return [
            Voice(each, NAMED[each].name if each in NAMED else each.capitalize(), tuple(LANGUAGES))
            for each in self._ids
        ]

    def resolve(self, name: str) -> str:
        """Returns the id of a name or alias. The nine names are known on every model. Raises UnknownVoice."""
        wanted = name.strip().lower().replace(" ", "_")
        wanted = ALIASES.get(wanted, wanted)
        if wanted in self._ids:
            return wanted
        if wanted == "" or wanted in NAMED:
            return self._ids[0]
        raise UnknownVoice(name, self._ids)

    def chosen(self, style: Style) -> tuple[str, VoiceReference | None]:
        """Returns the key of the style's voice, or its recording where it is cloned. Raises SpeechError."""
        if style.reference is not None:
            if self.kind != "base":
                raise CannotClone("qwen3")
            return "", style.reference
        name = self.resolve(style.voice)
        match self.kind:
            case "base":
                if name not in self.references:
                    raise SpeechError(f"there is no recording of {name!r}; put one into VOICES_DIR")
                return "", self.references[name]
            case "voice_design":
                return "designed", None
            case _:
                return f"speaker:{name}", None

    def instructions(self, style: Style) -> str:
        """Returns what the model is told about how to speak."""
        wanted = (style.instructions or "").strip()
        if self.kind == "voice_design":
            return f"{NAMED[self.resolve(style.voice)].description} {wanted}".strip()
        return wanted if self.instructable else ""

    def warnings(self) -> list[str]:
        """Returns what an administrator should know about these voices."""
        without = [name for name in NAMED if name not in self._ids]
        if not without:
            return []
        return [
            f"VOICES_DIR has no recording of {', '.join(without)}: they speak with the voice {self._ids[0]!r} "
            "(a Base model needs a WAV for each, or use a CustomVoice model)"
        ]


def language_name(code: str | None) -> str | None:
    """Returns the checkpoints' name of a language, None where none is given. Raises UnspeakableText."""
    if not code:
        return None
    name = LANGUAGES.get(code.lower().replace("_", "-").split("-")[0])
    if name is None:
        raise UnspeakableText(f"Qwen3-TTS speaks {', '.join(LANGUAGES)}, not {code!r}")
    return name


async def find_voices(kind: str, settings: VoiceSettings) -> Catalog:
    """Returns a model's voices; a Base one's are in VOICES_DIR, or the embedded engine's. Raises SpeechError."""
    if kind != "base":
        return Catalog(kind)
    return Catalog(kind, await asyncio.to_thread(recorded_voices, settings) or {HOUSE: await _house_voice()})


async def _house_voice() -> VoiceReference:
    hibari = HibariEngine()
    await hibari.start()
    try:
        pcm = [chunk async for chunk in hibari.stream(HOUSE_TEXT, Style())]
    finally:
        await hibari.close()
    return VoiceReference(np.concatenate(pcm), hibari.sample_rate_hz, HOUSE_TEXT)


def recorded_voices(settings: VoiceSettings) -> dict[str, VoiceReference]:
    """Returns the administrator's recordings in VOICES_DIR: `<voice>.wav`, its words in `<voice>.txt` if known.

    Uploaded voices lie there too, each with a `.json` file, and belong to the HTTP interface. A file that cannot be
    used is left out with a warning in the log.
    """
    found: dict[str, VoiceReference] = {}
    for path in sorted(settings.voices_dir.glob("*.wav")):
        if path.with_suffix(".json").exists():
            continue
        words = path.with_suffix(".txt")
        try:
            text = words.read_text("utf-8").strip() if words.exists() else None
            found[path.stem.lower()] = read_recording(
                path.read_bytes(), min_s=settings.reference_min_s, max_s=settings.reference_max_s, text=text or None
            )
        except (OSError, UnicodeDecodeError, InvalidRecording) as error:
            log.warning("left out a voice", path=str(path), error=str(error))
    # The nine come first, in their order.
    order = {name: number for number, name in enumerate(NAMED)}
    return dict(sorted(found.items(), key=lambda item: (order.get(item[0], len(order)), item[0])))
