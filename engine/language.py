"""Detects the language of a text."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import cache
from typing import Any, Final

# What engines speak, and what could be taken for it; fewer to choose from makes a better guess.
LANGUAGES: Final = "ar ca cs da de el en es fa fi fr he hi hu id it ja ko nl no pl pt ro ru sv th tr vi zh".split()  # noqa: SIM905
# English greetings with a foreign name in them reach 0.7, a whole sentence of another language 0.99. A wrong guess is
# worse than none: it makes an engine refuse, or read out in another accent.
CERTAIN: Final = 0.98
# Enough to tell from; the time it takes grows with the text.
CHARS: Final = 400


# The words that make up short phrases of telephone calls, in languages that share letters with English. A word that
# English has too is in none of them.
PHRASES: Final = {
    "de": "auf wiederhören guten tag morgen abend hallo danke vielen dank bitte ich habe haben sie ist sind nicht und "
    "wie geht es ihnen ja nein der das ein eine einen kostet uhr euro heute um wo mein moment gern gerne kein",
    "es": "hola buenos días buenas tardes noches gracias muchas por favor qué cómo está estoy sí adiós el los las una "
    "son es cuesta euros señor señora tengo hasta luego mañana hoy cuánto dónde mi nombre un momento y de nada habla",
    "fr": "bonjour bonsoir merci beaucoup oui non s'il vous plaît je suis vous êtes le la les des un une et ça va "
    "coûte euros heures au revoir madame monsieur combien où à demain mon nom instant",
    "it": "buongiorno buonasera grazie mille prego sì ciao sta sono il lo gli una è costa euro ore arrivederci "
    "signora signore quanto dove domani oggi mi chiamo un momento favore",
    "pt": "olá bom dia boa tarde noite obrigado obrigada não por favor os uma é custa euros horas adeus "
    "senhora senhor quanto onde amanhã hoje meu nome um momento tudo bem",
    "nl": "goedemorgen goedemiddag goedenavond hallo ja dank je wel alstublieft ik heb niet het een en kost uur tot "
    "ziens mevrouw meneer hoeveel waar morgen vandaag mijn naam moment graag u",
}
ALONE: Final = frozenset(
    (
        *("adiós", "bitte", "bonjour", "bonsoir", "buongiorno", "ciao", "danke", "gracias", "grazie", "hola", "merci"),
        *("nein", "obrigada", "obrigado", "olá", "oui", "prego", "sí"),
    )
)
"""The words that tell their language also where they stand alone. "Son", "Tag" or "mille" could be anything."""
_PHRASES: Final = {language: frozenset(words.split()) for language, words in PHRASES.items()}
_WORD: Final = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
MAX_PHRASE_WORDS: Final = 8


def detect(text: str, *, phrases: Collection[str] = tuple(PHRASES)) -> str | None:
    """Returns the ISO 639-1 code, or None where a text is too mixed to be sure. It takes some 0.1 ms.

    A text that is too short for the model is judged by its words, and may be in one of the languages `phrases`. That
    misleads where more of the text is to come, and harms where an engine does not speak the language: "Ciao!" is better
    said with an accent than refused.

    The first call loads the model, which takes half a second and 50 MB. `load` does that ahead of time.
    """
    language, probability = load().classify(text[:CHARS])
    if probability >= CERTAIN:
        return str(language)
    return _of_phrase(text, phrases) if phrases else None


def _of_phrase(text: str, spoken: Collection[str]) -> str | None:
    """Returns the one of the languages in whose phrases most of a few words are; None for none, several or another."""
    words = [word.lower().replace("’", "'") for word in _WORD.findall(text[:CHARS])]
    if not words or len(words) > MAX_PHRASE_WORDS or (len(words) == 1 and words[0] not in ALONE):
        return None
    counts = {language: sum(word in known for word in words) for language, known in _PHRASES.items()}
    best, second = sorted(counts.values(), reverse=True)[:2]
    if best == second or 3 * best < 2 * len(words):
        return None
    language = max(counts, key=lambda language: counts[language])
    return language if language in spoken else None


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
