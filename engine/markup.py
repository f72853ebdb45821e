"""Reads pauses and a part of SSML out of a text that arrives in pieces. No I/O.

Whatever else looks like a tag is dropped, wherever the pieces were cut. What is held back is bounded, so the time is
linear in the length of the text.
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

_ATTRIBUTES: Final = r"(?:\s[^<>]{0,1000})?"
_ELEMENT: Final = re.compile(
    rf"<(?P<name>sub|say-as|phoneme)(?P<attributes>{_ATTRIBUTES})(?<!/)>(?P<inner>[^<>]{{0,300}})</(?P=name)\s?>",
    re.IGNORECASE,
)
_PRONOUNCED: Final = re.compile(rf"\[(?P<word>[^\[\]<>]{{1,60}})\]\(/(?P<ipa>[^/\[\]<>]{{1,{MAX_IPA_CHARS}}})/\)")
_WORD: Final = re.compile(r"[^\[\]<>]*[^\[\]<>\s][^\[\]<>]*")
"""What can carry sounds."""
_PRONOUNCED_BEGINS: Final = re.compile(
    rf"\[[^\[\]<>]{{0,60}}(?:\](?:\((?:/(?:[^/\[\]<>]{{1,{MAX_IPA_CHARS}}}/?)?)?)?)?"
)
_ELEMENT_BEGINS: Final = re.compile(
    rf"<(?:sub|say-as|phoneme){_ATTRIBUTES}(?<!/)>[^<>]{{0,300}}(?:</?[a-z-]{{0,10}}\s?)?", re.IGNORECASE
)
_TAG: Final = re.compile(
    rf"<!--.{{0,300}}?-->|<!\[CDATA\[|\]\]>|<(?P<closes>/?)(?P<name>[a-z][\w:-]{{0,30}})(?P<attributes>{_ATTRIBUTES})/?>"
    r"|<[?!](?!--)[^<>]{0,1000}>"
    r"|\[\s?pause(?:[\s:=]\s?(?P<number>\d{1,6}(?:\.\d{1,3})?)\s?(?P<unit>ms|s|sec|seconds?)?)?\s?\]",
    re.IGNORECASE | re.DOTALL,
)
_TAG_BEGINS: Final = re.compile(
    rf"\]{{1,2}}|</?|</?[a-z][\w:-]{{0,30}}{_ATTRIBUTES}/?|<!--.{{0,300}}|<[?!](?!--)[^<>]{{0,1000}}"
    r"|\[\s?(?:p(?:a(?:u(?:s(?:e[\s:=.\w]{0,20})?)?)?)?)?",
    re.IGNORECASE | re.DOTALL,
)
# What can only be the beginning of a tag: at the end of a text it is dropped too.
_CUT_TAG: Final = re.compile(r"</[a-z]|<[a-z][\w:-]*\s+[\w:-]+=|<(?:break|speak|sub|say-as|prosody)\b|\[\s?pause", re.I)
_OPENS: Final = re.compile(r"[<\[]|\](?=\]|$)")
_ATTRIBUTE: Final = re.compile(r"""([\w:-]{1,40})\s?=\s?(?:"([^"]*)"|'([^']*)')""")
_DURATION: Final = re.compile(r"\+?(\d{1,6}(?:\.\d{0,3})?)\s?(ms|s)", re.IGNORECASE)
_PERCENT: Final = re.compile(r"([+-]?)(\d{1,4}(?:\.\d{1,3})?)(%?)")


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
        self._pauses_left_ms = MAX_PAUSES_MS
        self._rates: list[float] = [1.0]

    def feed(self, piece: str) -> list[str | Mark]:
        """Takes the next piece; returns what is certain by now. Only what may become a tag is held back."""
        return self._read(piece, last=False)

    def finish(self) -> list[str | Mark]:
        """Returns what was held back and turned out to be no tag."""
        return self._read("", last=True)

    def _read(self, piece: str, last: bool) -> list[str | Mark]:
        text, self._held = self._held + as_written(piece), ""
        items: list[str | Mark] = []
        plain = at = 0
        while opens := _OPENS.search(text, at):
            at = opens.start()
            found: list[str | Mark] = []
            if element := _ELEMENT.match(text, at):
                found, end = [self._element(element)], element.end()
            elif (link := _PRONOUNCED.match(text, at)) and is_ipa(link["ipa"]):
                found, end = [marked(link["word"], link["ipa"])], link.end()
            elif not last and _ELEMENT_BEGINS.fullmatch(text, at):
                break
            elif tag := _TAG.match(text, at):
                found, end = self._tag(tag), tag.end()
            elif not last and (_TAG_BEGINS.fullmatch(text, at) or _PRONOUNCED_BEGINS.fullmatch(text, at)):
                break
            elif last and _TAG_BEGINS.fullmatch(text, at) and _CUT_TAG.match(text, at):
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
            return told.get("alias", inner)
        if name == "say-as":
            language = self._language if isinstance(self._language, str) else self._language()
            return say_as(inner, told.get("interpret-as", ""), told.get("format", ""), language)
        ipa = told.get("ph", "")[:MAX_IPA_CHARS]
        is_ipa_of_word = told.get("alphabet", "ipa").lower() == "ipa" and _WORD.fullmatch(inner) and can_be_said(ipa)
        return marked(inner, ipa) if is_ipa_of_word else inner

    def _tag(self, tag: re.Match[str]) -> list[str | Mark]:
        name = (tag["name"] or "").lower()
        if tag[0].startswith("["):
            unit = (tag["unit"] or "s").lower()
            ms = float(tag["number"]) * (1 if unit == "ms" else 1000) if tag["number"] else STRENGTHS_MS["medium"]
            return [self._pause(ms)]
        if name == "break" and not tag["closes"]:
            return [self._pause(_break_ms(_attributes(tag["attributes"])))]
        if name == "prosody":
            return self._prosody(tag)
        return ["\n\n" if name in ("p", "s") else " "]

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
    """Returns what is to be read of a text."""
    reader = MarkupReader()
    return as_written("".join(item for item in reader.feed(text) + reader.finish() if isinstance(item, str)))


def _attributes(text: str) -> dict[str, str]:
    return {name.lower(): _unescaped(double or single) for name, double, single in _ATTRIBUTE.findall(text)}


def _unescaped(text: str) -> str:
    """Returns a text with its character references replaced, of which none brings sounds."""
    return as_written(html.unescape(text))


def _break_ms(told: dict[str, str]) -> float:
    if duration := _DURATION.fullmatch(told.get("time", "").strip()):
        return float(duration[1]) * (1 if duration[2].lower() == "ms" else 1000)
    return STRENGTHS_MS.get(told.get("strength", "").lower(), STRENGTHS_MS["medium"])


def _rate(rate: str, before: float) -> float:
    """Returns the factor of a rate: a name, `1.2`, `120%`, or a change such as `+20%`, or else the one before."""
    if named := RATES.get(rate.lower()):
        return named
    if not (told := _PERCENT.fullmatch(rate.strip())):
        return before
    sign, amount = told[1], float(told[2]) / (100 if told[3] else 1)
    factor = before * (1 + amount if sign == "+" else 1 - amount) if sign else amount
    return min(max(factor, MIN_SPEED), MAX_SPEED)
