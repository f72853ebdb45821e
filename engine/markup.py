"""Reads pauses and a part of SSML out of a text that arrives in pieces. No I/O.

Whatever else looks like a tag is dropped, wherever the pieces were cut, and so is what lies in a script, a style sheet
or a comment. Little of anything else is held back, so that speech can begin. The time is linear in the length.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from engine.ipa import MAX_IPA_CHARS, can_be_said, is_ipa
from engine.pronunciation import as_written, marked
from engine.say_as import say_as
from engine.speech import MAX_SPEED, MIN_SPEED

MAX_PAUSE_MS: Final = 10_000
# All of a text's pauses together: enough for a guided meditation, too little to hold a place for hours.
MAX_PAUSES_MS: Final = 600_000
STRENGTHS_MS: Final = {"none": 0, "x-weak": 250, "weak": 500, "medium": 750, "strong": 1000, "x-strong": 1250}
RATES: Final = {"x-slow": 0.5, "slow": 0.64, "medium": 1.0, "default": 1.0, "fast": 1.55, "x-fast": 2.0}
MAX_DEPTH: Final = 16
"""How deep rates may lie in each other; the ones further in have no effect."""

MAX_TAG_CHARS: Final = 1_500
"""What is longer is no tag, and is not waited for."""

_SSML: Final = "break|speak|sub|say-as|prosody|phoneme|emphasis|voice|audio"
"""The names that no text has behind a `<` of its own: whatever such a tag has in it, it is one."""
_BARE: Final = (
    "async|autoplay|checked|compact|controls|default|defer|disabled|download|hidden|ismap|itemscope|loop|multiple"
    "|muted|nomodule|noshade|nowrap|open|playsinline|readonly|required|reversed|selected"
)
"""HTML's attributes without a value. Other words behind a `<` are the text's own: "if a <b and c> d"."""
_VALUE: Final = r"""=\s?(?:"[^"<\n]{0,300}"|'[^'<\n]{0,300}')(?=[\s/>])"""
"""A value in quotes, which may have a `>` in it. A quotation mark that nothing closes is a sign like others."""
_VALUE_BEGINS: Final = r"""=\s?(?:"[^"<\n]{0,300}"?|'[^'<\n]{0,300}'?)"""
_INSIDE: Final = rf"(?:{_VALUE}|(?!{_VALUE})[^<>])*"
_ANY: Final = rf"(?:\s{_INSIDE}+)?"
_FIRST_NAME: Final = rf"(?:\s+(?:{_BARE})(?![\w:=-]))*+\s+[\w:.@-]{{1,40}}\s?(?==)"
_ATTRIBUTES: Final = rf"(?:{_FIRST_NAME}{_INSIDE}+|(?:\s+(?:{_BARE})(?![\w:=-]))*+\s*)"
_ATTRIBUTES_BEGIN: Final = (
    rf"(?:{_FIRST_NAME}{_INSIDE}+|(?:\s+(?:{_BARE})(?![\w:=-]))*+\s*(?:(?<=\s)[\w:.@-]{{1,40}}\s?)?)"
)
_NAME: Final = rf"(?P<name>(?P<ssml>(?:{_SSML})(?![\w:-]))|[a-z][\w:-]{{0,30}})"
_ELEMENT: Final = re.compile(
    rf"<(?P<name>sub|say-as|phoneme)(?P<attributes>{_ANY})(?<!/)>(?P<inner>[^<>]{{0,300}})</(?P=name)\s?>",
    re.IGNORECASE,
)
_OPEN_VALUE: Final = re.compile(rf"</?{_NAME}(?(ssml)\s|{_FIRST_NAME}){_INSIDE}{_VALUE_BEGINS}", re.IGNORECASE)
"""What ends in a value that may be closed yet: until then a `>` in it may be the tag's end or not."""
_HIDES: Final = re.compile(rf"<(?P<name>!--|(?:script|style)(?={_ATTRIBUTES}(?<!/)>))", re.IGNORECASE)
"""What opens something that is not for the ear. Where it is never closed, it was no tag."""
_SHOWS: Final = {
    "!--": re.compile("-->"),
    "script": re.compile(r"</script\s{0,9}>", re.IGNORECASE),
    "style": re.compile(r"</style\s{0,9}>", re.IGNORECASE),
}
_MAX_CLOSER_CHARS: Final = 18
_PRONOUNCED: Final = re.compile(rf"\[(?P<word>[^\[\]<>]{{1,60}})\]\(/(?P<ipa>[^/\[\]<>]{{1,{MAX_IPA_CHARS}}})/\)")
_WORD: Final = re.compile(r"[^\[\]<>]*[^\[\]<>\s][^\[\]<>]*")
"""What can carry sounds."""
_PRONOUNCED_BEGINS: Final = re.compile(
    rf"\[[^\[\]<>]{{0,60}}(?:\](?:\((?:/(?:[^/\[\]<>]{{1,{MAX_IPA_CHARS}}}/?)?)?)?)?"
)
_ELEMENT_BEGINS: Final = re.compile(
    rf"<(?:sub|say-as|phoneme){_ANY}(?<!/)>[^<>]{{0,300}}(?:</?[a-z-]{{0,10}}\s?)?", re.IGNORECASE
)
_UNIT: Final = "ms|msecs?|milliseconds?|s|secs?|seconds?|m|mins?|minutes?"
_TAG: Final = re.compile(
    rf"<!\[CDATA\[|\]\]>|<(?P<closes>/?){_NAME}(?P<attributes>(?(ssml){_ANY}|{_ATTRIBUTES}))/?>"
    r"|<!doctype\s[^<>\[]*\[[^\]]*\]\s?>|<[?!](?!--|doctype\s[^<>\[]*\[)[^<>]*>"
    rf"|\[\s?pause(?:(?:\s?[:=]\s?|\s)(?P<number>\d{{1,6}}(?:[.,]\d{{1,3}})?)\s?(?P<unit>{_UNIT})?"
    r"|\s?[:=][^\[\]<>]{0,20})?\s?\]",
    re.IGNORECASE,
)
_TAG_BEGINS: Final = re.compile(
    rf"\]{{1,2}}|</?|</?{_NAME}(?(ssml){_ANY}|{_ATTRIBUTES_BEGIN})/?"
    r"|<!doctype\s[^<>\[]*\[[^\]]*(?:\]\s?)?|<[?!](?!--)[^<>]*"
    r"|\[\s?(?:p(?:a(?:u(?:s(?:e[^\[\]<>]{0,30})?)?)?)?)?",
    re.IGNORECASE,
)
# What can only be the beginning of a tag: at the end of a text it is dropped too.
_CUT_TAG: Final = re.compile(rf"</[a-z]|<[a-z][\w:-]*\s+[\w:-]+=|<(?:{_SSML}|script|style)\b|\[\s?pause", re.I)
_OPENS: Final = re.compile(r"[<\[]|\](?=\]|$)")
_TOLD: Final = re.compile(r"""([\w:-]{1,40})\s?=\s?(?:"([^"]*)"|'([^']*)'|([^\s"'<>/]+))""")
_TYPOGRAPHIC: Final = "“”„‟‘’«»"
"""Quotation marks that a word processor puts in place of those that were typed."""
_DURATION: Final = re.compile(r"\+?(\d{1,6}(?:[.,]\d{0,3})?)\s?(ms|s)", re.IGNORECASE)
_PERCENT: Final = re.compile(r"([+-]?)(\d{1,4}(?:\.\d{1,3})?)(%?)")
_BLOCKS: Final = frozenset(
    ("p", "s", "div", "h1", "h2", "h3", "h4", "h5", "h6", "li", "ul", "ol", "dt", "dd", "tr", "table", "blockquote")
)
"""The elements that stand by themselves: what is before them ends."""


@dataclass(frozen=True, slots=True)
class Pause:
    """A silence that the text asks for, in place of the one that would be there anyway."""

    ms: int


@dataclass(frozen=True, slots=True)
class Rate:
    """The pace of what follows, as a multiple of the pace that was asked for."""

    factor: float


Mark = Pause | Rate


class MarkupReader:
    """Takes a text in pieces, and gives back what is to be read, with the marks in their places."""

    def __init__(self, language: str | Callable[[], str] = "en") -> None:
        """The language may be a function: it may be known only from the text so far."""
        self._language = language
        self._held = ""
        self._searched_chars = 0
        """How much of the held text, where that is hidden, has no end of it."""
        self._pauses_left_ms = MAX_PAUSES_MS
        self._rates: list[float] = [1.0]

    @property
    def is_hiding(self) -> bool:
        """Tells whether the text is at a place that is not for the ear: in a comment, a script or a style sheet."""
        return self._searched_chars > 0

    def feed(self, piece: str) -> list[str | Mark]:
        """Takes the next piece; returns what is certain by now. Only what may become a tag is held back."""
        return self._read(piece, last=False)

    def finish(self) -> list[str | Mark]:
        """Returns what was held back and turned out to be no tag."""
        return self._read("", last=True)

    def _read(self, piece: str, last: bool) -> list[str | Mark]:
        text, self._held = self._held + as_written(piece), ""
        searched, self._searched_chars = self._searched_chars, 0
        never_shown: set[str] = set()
        items: list[str | Mark] = []
        plain = at = 0
        while opens := _OPENS.search(text, at):
            at = opens.start()
            found: list[str | Mark] = []
            if not last and _OPEN_VALUE.fullmatch(text, at):
                break
            if element := _ELEMENT.match(text, at):
                found, end = [self._element(element)], element.end()
            elif (link := _PRONOUNCED.match(text, at)) and is_ipa(link["ipa"]):
                found, end = [marked(link["word"], link["ipa"])], link.end()
            elif not last and _ELEMENT_BEGINS.fullmatch(text, at):
                break
            elif (hides := _HIDES.match(text, at, at + MAX_TAG_CHARS)) and _kind(hides) not in never_shown:
                shows = _SHOWS[_kind(hides)].search(text, max(hides.end(), at + searched))
                searched = 0
                if shows:
                    found, end = [" "], shows.end()
                elif last:
                    never_shown.add(_kind(hides))
                    continue
                else:
                    self._searched_chars = max(len(text) - at - _MAX_CLOSER_CHARS, 1)
                    break
            elif tag := _TAG.match(text, at, at + MAX_TAG_CHARS):
                found, end = self._tag(tag), tag.end()
            elif not last and (_begins_tag(text, at) or _PRONOUNCED_BEGINS.fullmatch(text, at)):
                break
            elif last and _begins_tag(text, at) and _CUT_TAG.match(text, at):
                found, end = [], len(text)
            else:  # a sign of its own
                at += 1
                continue
            items += [text[plain:at], *found] if at > plain else found
            plain = at = end
        else:
            at = len(text)
        self._held = text[at:]
        if at > plain:
            items.append(text[plain:at])
        return items

    def _element(self, element: re.Match[str]) -> str:
        name, inner = element["name"].lower(), _unescaped(element["inner"])
        told = _attributes(element["attributes"])
        if name == "sub":
            return told.get("alias") or inner
        if name == "say-as":
            language = self._language if isinstance(self._language, str) else self._language()
            return say_as(inner, told.get("interpret-as", ""), told.get("format", ""), language)
        ipa = told.get("ph", "")[:MAX_IPA_CHARS]
        is_ipa_of_word = told.get("alphabet", "ipa").lower() == "ipa" and _WORD.fullmatch(inner) and can_be_said(ipa)
        return marked(inner, ipa) if is_ipa_of_word else inner

    def _tag(self, tag: re.Match[str]) -> list[str | Mark]:
        name = (tag["name"] or "").lower()
        if tag[0].startswith("["):
            return [self._pause(_ms(tag["number"], tag["unit"] or "s") if tag["number"] else STRENGTHS_MS["medium"])]
        if name == "break" and not tag["closes"]:
            return [self._pause(_break_ms(_attributes(tag["attributes"])))]
        if name == "prosody":
            return self._prosody(tag)
        return ["\n\n" if name in _BLOCKS else "\n" if name == "br" else " "]

    def _pause(self, ms: float) -> Pause:
        pause = Pause(min(round(ms), MAX_PAUSE_MS, self._pauses_left_ms))
        self._pauses_left_ms -= pause.ms
        return pause

    def _prosody(self, tag: re.Match[str]) -> list[str | Mark]:
        before = self._rates[-1]
        if tag["closes"]:
            self._rates = self._rates[:-1] or [1.0]
        elif not tag[0].endswith("/>") and len(self._rates) < MAX_DEPTH:
            self._rates.append(_rate(_attributes(tag["attributes"]).get("rate", ""), before))
        return [" "] if self._rates[-1] == before else [Rate(self._rates[-1])]


def without_markup(text: str) -> str:
    """Returns what is to be read of a text, or of the beginning of one."""
    reader = MarkupReader()
    items = reader.feed(text)
    if not reader.is_hiding:
        items += reader.finish()
    return as_written("".join(item for item in items if isinstance(item, str)))


def _kind(hides: re.Match[str]) -> str:
    return hides["name"].lower()


def _begins_tag(text: str, at: int) -> bool:
    """Tells whether the rest of a text may become a tag."""
    return len(text) - at < MAX_TAG_CHARS and _TAG_BEGINS.fullmatch(text, at) is not None


def _attributes(text: str) -> dict[str, str]:
    return {name.lower(): _unescaped("".join(values)).strip(_TYPOGRAPHIC) for name, *values in _TOLD.findall(text)}


def _unescaped(text: str) -> str:
    """Returns a text with its character references replaced, of which none brings sounds."""
    return as_written(html.unescape(text))


def _break_ms(told: dict[str, str]) -> float:
    if duration := _DURATION.fullmatch(told.get("time", "").strip()):
        return _ms(duration[1], duration[2])
    return STRENGTHS_MS.get(told.get("strength", "").lower(), STRENGTHS_MS["medium"])


def _ms(number: str, unit: str) -> float:
    """Returns a duration as it is written, such as `1,5` and `s`."""
    unit = unit.lower()
    factor = 1 if unit.startswith(("ms", "milli")) else 60_000 if unit.startswith("m") else 1000
    return float(number.replace(",", ".")) * factor


def _rate(rate: str, before: float) -> float:
    """Returns the factor of a rate: a name, `1.2`, `120%`, or a change such as `+20%`, or else the one before."""
    if named := RATES.get(rate.lower()):
        return named
    if not (told := _PERCENT.fullmatch(rate.strip())):
        return before
    sign, amount = told[1], float(told[2]) / (100 if told[3] else 1)
    factor = before * (1 + amount if sign == "+" else 1 - amount) if sign else amount
    return min(max(factor, MIN_SPEED), MAX_SPEED)
