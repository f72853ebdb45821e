"""What a caller hears who waits: ringing until the first word, and a soft sound while the agent thinks. No I/O."""

from __future__ import annotations

from typing import Final

from bridge.conversation.settings import ConversationSettings
from bridge.conversation.sounds import ringing, thinking
from bridge.line.call import Call, CallObserver
from bridge.line.utterance import Utterance

RINGING_AFTER_MS: Final = 400
"""How long a greeting may take before the phone rings on: a shorter ringing would be heard as a fault."""


class WaitingSounds(CallObserver):
    """The sounds of one call. It is told whenever it may have changed whether the caller waits."""

    def __init__(self, call: Call, settings: ConversationSettings, *, rings: bool) -> None:
        """`rings` is false for somebody whom the agent has called: their phone has rung already."""
        self._background = call.playout.background
        self._rings = rings and settings.ringing != "none"
        self._waits = False
        self.use(settings)

    def use(self, settings: ConversationSettings) -> None:
        """Goes by these settings from now on."""
        self._settings = settings

    def wait(self, waits: bool) -> None:
        """Plays while the caller `waits`, which means that something will be said and the caller is silent."""
        settings = self._settings
        self._rings = self._rings and (waits or not self._waits)
        self._waits = waits
        if waits and self._rings:
            self._background.play(ringing(settings.ringing), RINGING_AFTER_MS)
        elif waits and settings.thinking_sound:
            sound = thinking(settings.thinking_sound, settings.thinking_sound_db)
            self._background.play(sound, settings.thinking_sound_after_ms)
        else:
            self._background.stop()

    def utterance_started(self, utterance: Utterance) -> None:
        """Stops ringing for good, because somebody speaks."""
        self._rings = False
        self.wait(self._waits)
