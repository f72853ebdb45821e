"""Detects the language of a text."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

# What engines speak, and what could be taken for it; fewer to choose from makes a better guess.
LANGUAGES: Final = "ar ca cs da de el en es fa fi fr he hi hu id it ja ko nl no pl pt ro ru sv th tr vi zh".split()  # noqa: SIM905
# English greetings with a foreign name in them reach 0.7, a whole sentence of another language 0.99. A wrong guess is
# worse than none: it makes an engine refuse, or read out in another accent.
CERTAIN: Final = 0.98
# Enough to tell from; the time it takes grows with the text.
CHARS: Final = 400


def detect(text: str) -> str | None:
    """Returns the ISO 639-1 code, or None where a text is too short or too mixed to be sure. It takes some 0.1 ms.

    The first call loads the model, which takes half a second and 50 MB. `load` does that ahead of time.
    """
    language, probability = load().classify(text[:CHARS])
    return str(language) if probability >= CERTAIN else None


@cache
def load() -> Any:
    """Loads the model once and returns it."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages(LANGUAGES)
    return identifier


def is_loaded() -> bool:
    """Tells whether `detect` answers at once."""
    return load.cache_info().currsize > 0
