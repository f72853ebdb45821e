"""Writes a text out as it is read aloud: numbers, money, dates, times, telephone numbers, e-mail, URLs, ids.

What is written the same way everywhere is rewritten here; words for numbers and the like come from damga's grammars,
in the seven languages it has. In another language, digits are left to the engine.
"""

from __future__ import annotations

import re
from typing import Final, Protocol

import emoji
import structlog

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

# Word for "at", "dot", "slash", "dash" and "underscore" in an address, where it is not English.
_ADDRESS_WORDS: Final = {
    "de": ("at", "Punkt", "Schrägstrich", "Strich", "Unterstrich"),
    "es": ("arroba", "punto", "barra", "guion", "guion bajo"),
    "fr": ("arobase", "point", "slash", "tiret", "tiret bas"),
    "it": ("chiocciola", "punto", "barra", "trattino", "trattino basso"),
    "pt": ("arroba", "ponto", "barra", "hífen", "sublinhado"),
}
_ENGLISH_ADDRESS_WORDS: Final = ("at", "dot", "slash", "dash", "underscore")

# Anything that is not plain words: a digit or sign, a full stop before the end, an abbreviation, a Roman numeral.
_WORK: Final = re.compile(
    r"[\d@#€$£¥%&*_`~|<>/\\=+\[\]^°]|\.(?=.*\w)|\b(?:etc|[ap]\.m|Jr|Sr|Inc|Ltd)\.|\b[IVX]{2,}\b|^\s*[-•–]\s", re.DOTALL
)

_LINK: Final = re.compile(r"!?\[([^\]]*)\]\([^)\s]*\)")
_FENCE: Final = re.compile(r"^\s*```.*$", re.MULTILINE)
_LINE_MARK: Final = re.compile(r"^\s*(?:#{1,6}|[-*+•–]|>)\s+", re.MULTILINE)
_EMPHASIS: Final = re.compile(r"(?<!\w)([*_~`]{1,3})(?=\S)(.+?)(?<=\S)\1(?!\w)", re.DOTALL)

_EMAIL: Final = re.compile(r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+\b")
_URL: Final = re.compile(
    r"\b(?:https?://|www\.)[^\s<>\"']*[\w/]|\b[\w-]+(?:\.[\w-]+)*\.(?:com|org|net|edu|gov|io|eu|info)\b(?:/[^\s<>\"']*[\w/])?"
)

_ID: Final = re.compile(r"(?<![\w.@])#?([A-Z]{1,5})-?(\d{3,})\b(?![.,]?\d)|(?<![\w&])#(\d{3,})\b")
_PHONE: Final = re.compile(r"(?<![\w.,/-])(\+|00)?(\(?\d{1,5}\)?(?:[ ./-]{1,2}\(?\d{2,}\)?){1,5})(?![\w/-]|[.,]\d)")
_GROUPED_NUMBER: Final = re.compile(r"[1-9]\d{0,2}(?:[ .]\d{3})+")
_SPACED_THOUSANDS: Final = re.compile(r"(?<!\d )(?<![\w.,])[1-9]\d{0,2}(?:[ \u00a0\u202f]\d{3})+(?![\w]| \d)")
_ISO_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}|\d{1,2}\.\d{1,2}\.\d{2,4}")
_LONG_RUN: Final = re.compile(r"(?<!\d[ \u00a0\u202f])(?<![\w.,$€£¥#+-])(?:0\d{2,}|\d{7,})(?![\w%]|[.,]\d|\s?[€$£¥%])")
_CODE: Final = re.compile(
    r"\b((?:pin|code|password|passcode|zip|extension|ext\.?)(?:\s+(?:number|no\.?|code|is|was))*[\s:#]+)(\d{3,})\b(?![.,]\d)"
    r"|\b((?:number|no\.|id|order|ticket|reference|account|case|booking|invoice|flight)"
    r"(?:\s+(?:number|no\.?|code|id|is|was))*[\s:#]+)(\d{5,})\b(?![.,]\d)",
    re.IGNORECASE,
)

_MONTHS: Final = "January February March April May June July August September October November December".split()  # noqa: SIM905
_US_DATE: Final = re.compile(r"(?<![\w/])(\d{1,2})/(\d{1,2})/(\d{4}|\d{2})(?![\w/])")
_CLOCK_24: Final = re.compile(r"(?<![\w:])(1[3-9]|2[0-3]):([0-5]\d)(?![\w:]|\s?[ap]\.?m)", re.IGNORECASE)
_CLOCK_RANGE: Final = re.compile(r"(?<=\d)(\s?[ap]\.?m\.?)?\s?[–-]\s?(?=\d{1,2}:\d\d)", re.IGNORECASE)
_MONEY_AFTER: Final = re.compile(r"(?<![\w.,])(\d[\d,]*(?:\.\d+)?)\s?([€$£¥])(?!\w)")
_HALF_DAY: Final = re.compile(r"\b([ap]) m\b\.?")


def normalize(text: str, language: str = "en") -> str:
    """Returns `text` written out for reading aloud in `language` (ISO 639-1). Plain words come back as they were."""
    if is_plain(text):
        return text
    language = language[:2].lower()
    text = _signs(text)
    text = _spelled(text, language)
    if language == "en":
        text = _english(text)
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
    """Returns the text without Markdown and emoji, which are not for the ear."""
    text = _FENCE.sub("", _LINK.sub(r"\1", text))
    text = _LINE_MARK.sub("", text)
    text = _EMPHASIS.sub(r"\2", text)
    return emoji.replace_emoji(text, "")


def _spelled(text: str, language: str) -> str:
    """Writes addresses in words, and telephone numbers, ids and long runs of digits one digit at a time."""
    text = _EMAIL.sub(lambda match: _address(match[0], language), text)
    text = _URL.sub(lambda match: _address(_bare(match[0]), language), text)
    text = _ID.sub(lambda match: f"{_letters(match[1])}{_digits(match[2])}" if match[1] else _digits(match[3]), text)
    text = _PHONE.sub(_phone, text)
    text = _LONG_RUN.sub(lambda match: _digits(match[0]), text)
    return _SPACED_THOUSANDS.sub(lambda match: re.sub(r"\s", "", match[0]), text)


def _english(text: str) -> str:
    """Rewrites English that damga reads in another way than a caller would expect, or not at all."""
    text = _CODE.sub(lambda match: (match[1] or match[3]) + _digits(match[2] or match[4]), text)
    text = _US_DATE.sub(_date, text)
    text = _CLOCK_RANGE.sub(r"\1 to ", text)
    text = _CLOCK_24.sub(lambda match: f"{int(match[1]) - 12}:{match[2]} pm", text)
    return _MONEY_AFTER.sub(r"\2\1", text)


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
    url = re.sub(r"^(?:https?://)?(?:www\.)?", "", url)
    return re.split(r"[?#]", url)[0].rstrip("/")


def _address(address: str, language: str) -> str:
    words = dict(zip("@./-_", _ADDRESS_WORDS.get(language, _ENGLISH_ADDRESS_WORDS), strict=True))
    return " ".join(re.sub(r"[@./_-]", lambda match: f" {words[match[0]]} ", address).split())


def _letters(letters: str) -> str:
    """Writes letters one by one; the hyphen keeps a last "A" a letter where it could be an article."""
    return f"{'- '.join(letters)}-, "


def _digits(digits: str) -> str:
    """Writes digits one by one; longer runs in groups of three, the last of up to four, with a short rest between."""
    groups = [digits]
    while len(groups[-1]) > (5 if len(groups) == 1 else 4):
        groups[-1:] = [groups[-1][:3], groups[-1][3:]]
    return ", ".join(" ".join(group) for group in groups)


def _phone(match: re.Match[str]) -> str:
    number = match[2]
    groups = re.findall(r"\d+", number)
    count = sum(map(len, groups))
    international = bool(match[1]) or number.startswith(("(", "0"))
    local = len(groups) in (2, 3) and [len(group) for group in groups[-2:]] == [3, 4]
    if not 7 <= count <= 15 or not (international or local) or _ISO_DATE.fullmatch(number):
        return match[0]
    if _GROUPED_NUMBER.fullmatch(number) and not match[1]:
        return match[0]
    prefix = "plus " if match[1] == "+" else "0 0, " if match[1] else ""
    return prefix + ", ".join(_digits(group) for group in groups)


def _date(match: re.Match[str]) -> str:
    month, day, year = int(match[1]), int(match[2]), match[3]
    if month > 12:
        month, day = day, month
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return match[0]
    if len(year) == 2:
        year = f"20{year}" if int(year) < 50 else f"19{year}"
    return f"{_MONTHS[month - 1]} {day}, {year}"
