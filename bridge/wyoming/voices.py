"""The voices as Wyoming lists them: one for each language that a voice speaks.

Home Assistant shows the voices of a language, and asks for one of them by its name alone. So that it is not left to the
text to tell the language, the name says it: `heart-en`.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version

from wyoming.event import Event
from wyoming.info import Attribution, Info, TtsProgram, TtsVoice
from wyoming.tts import SynthesizeVoice

from engine.api.service import SpeechService
from engine.language import LANGUAGES
from engine.speech import Voice

PROGRAM = "talkspurt"


class ListedVoices:
    """The voices of a speech service, under their names in Wyoming."""

    def __init__(self, service: SpeechService) -> None:
        self._service = service
        self._described: tuple[dict[str, tuple[Voice, str]], Event] | None = None

    def info(self) -> Event:
        """Returns what the server says of itself: the first voice is the engine's default."""
        listed = self._listed()
        if self._described is None or self._described[0] != listed:  # for hundreds of voices it takes milliseconds
            self._described = listed, self._info(listed).event()
        return self._described[1]

    def _info(self, listed: dict[str, tuple[Voice, str]]) -> Info:
        engine, release = self._service.engine, version("talkspurt")
        maker = Attribution(name=engine.name, url="")
        voices = [
            TtsVoice(
                name=name,
                attribution=maker,
                installed=True,
                description=voice.name,
                version=release,
                languages=[language],
            )
            for name, (voice, language) in listed.items()
        ]
        program = TtsProgram(
            name=PROGRAM,
            attribution=Attribution(name="Talkspurt", url=""),
            installed=True,
            description="Talkspurt",
            version=release,
            voices=voices,
            supports_synthesize_streaming=True,
        )
        return Info(tts=[program])

    def meant(self, asked: SynthesizeVoice | None) -> tuple[str, str | None]:
        """Returns the name of the voice that is asked for, and the language, where that is asked for too.

        Other names than the listed ones are those of the HTTP endpoints.
        """
        if asked is None:
            return "", None
        if asked.name is None:
            return "", asked.language
        listed = self._listed().get(asked.name)
        return (listed[0].id, listed[1]) if listed is not None else (asked.name, None)

    def _listed(self) -> dict[str, tuple[Voice, str]]:
        return {f"{voice.id}-{language}": (voice, language) for voice in self._voices() for language in voice.languages}

    def _voices(self) -> Iterator[Voice]:
        """Yields every voice, with the languages in place of a "*" that Home Assistant does not know."""
        own = self._service.engine.voices()
        spoken = dict.fromkeys(language for voice in own for language in voice.languages if language != "*")
        every = tuple(spoken) or tuple(LANGUAGES)
        for voice in own:
            yield Voice(voice.id, voice.name, every if "*" in voice.languages else voice.languages)
        if self._service.engine.can_clone:
            for stored in self._service.voices.voices():
                yield Voice(stored.name, stored.name, (stored.language,) if stored.language else every)
