"""Writes a text out as it is read aloud: numbers, money, dates, times, telephone numbers, e-mail, URLs, ids.

What is written the same way everywhere is rewritten here, and what only English writes so in `engine.english`. The
words for numbers and the like come from damga's grammars, in the seven languages it has; in another language, digits
are left to the engine.
"""

from __future__ import annotations

import html
import re
from typing import Final, Protocol

import emoji
import structlog

from engine import continental, english
from engine.spelling import digits, letters

log = structlog.get_logger(__name__)

# For whom damga has no grammars, and where its wheel is missing, the engine reads the digits.
try:
    from damga import TextNormalizer, available_languages
except ImportError:  # no wheel for this platform or Python
    LANGUAGES: frozenset[str] = frozenset()
else:
    LANGUAGES = frozenset(available_languages())


class _Grammar(Protocol):
    def normalize(self, text: str) -> str: ...


_grammars: dict[str, _Grammar] = {}

# Words for "at", "dot", "slash", "dash", "underscore", "plus", "colon" and "tilde" in an address that is not English.
_ADDRESS_WORDS: Final = {
    "de": ("at", "Punkt", "Schrägstrich", "Strich", "Unterstrich", "plus", "Doppelpunkt", "Tilde"),
    "es": ("arroba", "punto", "barra", "guion", "guion bajo", "más", "dos puntos", "tilde"),
    "fr": ("arobase", "point", "slash", "tiret", "tiret bas", "plus", "deux-points", "tilde"),
    "it": ("chiocciola", "punto", "barra", "trattino", "trattino basso", "più", "due punti", "tilde"),
    "pt": ("arroba", "ponto", "barra", "hífen", "sublinhado", "mais", "dois pontos", "til"),
}
_PLUS: Final = {"es": "más", "it": "più", "pt": "mais"}
"""What "+" is called before a telephone number, where it is not "plus"."""
_ENGLISH_ADDRESS_WORDS: Final = ("at", "dot", "slash", "dash", "underscore", "plus", "colon", "tilde")

# Anything that is not plain words: a digit or sign, a full stop before the end, a short form, days, a Roman numeral.
_WORK: Final = re.compile(
    r"[\d@#€$£¥₹¢%&*_`~|<>/\\=+\[\]^°≥≤≠≈±×÷→√∞½⅓⅔¼¾⅛⅜⅝⅞‰★₿₀-₉⁰¹²³⁴-⁹]|\.(?=\W{0,3}\w)"
    r"|\b(?:etc|[ap]\.m|Jr|Sr|Inc|Ltd|Corp|Co)\.|\b(?:Dr|St|Ave|Blvd|Cir|Ct|Hwy|Ln|Pkwy|Pl|Rd|Sq|Ter)\b"
    r"|\b[A-Z][a-z]{2,4}\.?\s?[–—-]\s?[A-Z][a-z]{2,4}\b|\b(?:noon|midnight)\b|\b[IVXL]{2,}\b"
    r"|\bWWI|\bM[-–]F\b|(?<!\S)[:;=]-?[()DP]|\b[A-Z][a-z]+ [VX]\b"
    r"|\b(?:usw|ecc|[Tt][eé]l|Min|Std)\.|\b(?:Mlle|Mmes|bd|Hbf|svp|rdv|RDV)\b"
    r"|\bMe [A-Z]|\b(?:I|[IVXL]{2,})(?:e|er|ère|ème)\b|^\s*[-•–]\s"
)

_LINK: Final = re.compile(r"!?\[([^\]]*)\]\([^)\s]*\)")
_FENCE: Final = re.compile(r"^\s*```.*$", re.MULTILINE)
_LINE_MARK: Final = re.compile(r"^\s*(?:#{1,6}|[-*+•–]|>)\s+", re.MULTILINE)
_EMPHASIS: Final = re.compile(r"(?<!\w)([*_~`]{1,3})(?=\S)(.+?)(?<=\S)\1(?!\w)", re.DOTALL)

_EMAIL: Final = re.compile(r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+\b")
_URL: Final = re.compile(
    r"\b(?:(?:https?|ftp)://|www\.)[^\s<>\"']*[\w/]"
    r"|\b[\w-]+(?:\.[\w-]+)*\.(?:com|org|net|edu|gov|io|eu|info|dev|app|ai|uk|de|fr)\b(?::\d{2,5}\b)?(?:/[^\s<>\"']*[\w/])?"
)
_SCHEME: Final = re.compile(r"\b(?:tel|mailto|sms|sip):(?=[+\w])")
_PATH: Final = re.compile(r"(?<!\S)~?/[\w.-]+(?:/[\w.-]*\w)+/?(?=[\s,;:!?)]|\.?(?:\s|$))")

_ID: Final = re.compile(r"(?<![\w.@])#?([A-Z]{1,5})-?(\d{3,})\b(?![.,]?\d)|(?<![\w&])#(\d{3,})\b")
_PHONE: Final = re.compile(r"(?<![\w.,/-])(\+|00)?(\(?\d{1,5}\)?(?:[ ./-]{1,2}\(?\d{2,}\)?){1,5})(?![\w/-]|[.,]\d)")
_GROUPED_NUMBER: Final = re.compile(r"[1-9]\d{0,2}(?:[ .]\d{3})+")
_SPACED_THOUSANDS: Final = re.compile(r"(?<!\d )(?<![\w.,])[1-9]\d{0,2}(?:[ \u00a0\u202f]\d{3})+(?![\w]| \d)")
_WHOLE_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}|\d{1,2}([./-])\d{1,2}\1\d{2,4}")
_LONG_RUN: Final = re.compile(  # a round number is a quantity
    r"(?<!\d[ \u00a0\u202f])(?<![\w.,$€£¥#+-])(?:0\d{2,}|(?!\d{1,5}0{5,}\b)\d{7,})(?![\w%]|[.,]\d|\s?[€$£¥%])"
)
_HALF_DAY: Final = re.compile(r"\b([ap]) m\b\.?")


def normalize(text: str, language: str = "en") -> str:
    """Returns `text` written out for reading aloud in `language` (ISO 639-1). Plain words come back as they were."""
    if is_plain(text):
        return text
    language = language[:2].lower()
    text = _addresses(_signs(text), language)
    text = english.rewrite(text) if language == "en" else continental.rewrite(text, language)
    text = _spelled(text, language)
    if language in LANGUAGES:
        text = _worded(text, language)
    return re.sub(r"\s+", " ", text).strip()


def load(language: str) -> None:
    """Loads a language's grammar. That takes some 50 ms, which the first `normalize` would take otherwise."""
    language = language[:2].lower()
    if not is_loaded(language):
        _grammars[language] = TextNormalizer(lang=language)


def is_loaded(language: str) -> bool:
    """Tells whether `load` has nothing to do."""
    language = language[:2].lower()
    return language not in LANGUAGES or language in _grammars


def is_plain(text: str) -> bool:
    """Tells whether `normalize` has nothing to do: it can take some milliseconds, finding that out does not."""
    return not _WORK.search(text) and (text.isascii() or not emoji.emoji_count(text))


def _signs(text: str) -> str:
    """Returns the text without Markdown and emoji, which are not for the ear. Tags are gone before: `engine.markup`."""
    text = html.unescape(text)
    text = _FENCE.sub("", _LINK.sub(r"\1", text))
    text = _LINE_MARK.sub("", text)
    text = _EMPHASIS.sub(r"\2", text)
    return emoji.replace_emoji(text, "")


def _addresses(text: str, language: str) -> str:
    """Writes addresses in words, before any of their signs is taken for something else."""
    text = _SCHEME.sub("", text)
    text = _EMAIL.sub(lambda match: _address(match[0], language), text)
    text = _URL.sub(lambda match: _address(_bare(match[0]), language), text)
    return _PATH.sub(lambda match: _address(match[0], language), text)


def _spelled(text: str, language: str) -> str:
    """Writes telephone numbers, ids and long runs of digits one digit at a time."""
    text = _ID.sub(lambda match: f"{letters(match[1])}{digits(match[2])}" if match[1] else digits(match[3]), text)
    text = _PHONE.sub(lambda match: _phone(match, _PLUS.get(language, "plus")), text)
    text = _LONG_RUN.sub(lambda match: digits(match[0]), text)
    return _SPACED_THOUSANDS.sub(lambda match: re.sub(r"\s", "", match[0]), text)


def _worded(text: str, language: str) -> str:
    load(language)
    try:
        worded = _grammars[language].normalize(text)
    except Exception as error:  # a text that a grammar chokes on is still better spoken than not
        log.warning("not written out in words", chars=len(text), error=type(error).__name__)
        log.debug("not written out in words", text=text, exc_info=True)
        return text
    return _HALF_DAY.sub(r"\1.m.", worded) if language == "en" else worded


def _bare(url: str) -> str:
    """Returns a URL without what nobody says: scheme, www, query."""
    url = re.sub(r"^(?:(?:https?|ftp)://)?(?:www\.)?", "", url)
    return re.split(r"[?#]", url)[0].rstrip("/")


def _address(address: str, language: str) -> str:
    words = dict(zip("@./-_+:~", _ADDRESS_WORDS.get(language, _ENGLISH_ADDRESS_WORDS), strict=True))
    return " ".join(re.sub(r"[@./_+:~-]", lambda match: f" {words[match[0]]} ", address).split())


def _phone(match: re.Match[str], plus: str) -> str:
    number = match[2]
    groups = re.findall(r"\d+", number)
    count = sum(map(len, groups))
    international = bool(match[1]) or number.startswith(("(", "0"))
    local = len(groups) in (2, 3) and [len(group) for group in groups[-2:]] == [3, 4]
    if not 7 <= count <= 15 or not (international or local) or _WHOLE_DATE.fullmatch(number):
        return match[0]
    if _GROUPED_NUMBER.fullmatch(number) and not match[1]:
        return match[0]
    prefix = f"{plus} " if match[1] == "+" else "0 0, " if match[1] else ""
    return prefix + ", ".join(digits(group) for group in groups)
