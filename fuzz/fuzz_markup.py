"""Pauses and SSML in a text: read alike however it arrived, and no pause or pace is beyond what is allowed."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Final

from fuzz.harness import fuzz, instrumented
from fuzz.pieces import as_text, chosen, pieces

with instrumented(__name__, "engine.ipa", "engine.markup", "engine.pronunciation", "engine.say_as"):
    from engine.markup import MAX_PAUSE_MS, MAX_PAUSES_MS, Mark, MarkupReader, Pause, Rate, without_markup
    from engine.speech import MAX_SPEED, MIN_SPEED

LANGUAGES: Final = ("en", "de", "xx")
MOST_S: Final = 2.0
"""Of the processor, for the 4 KB of an input, its branches counted and on a busy machine. It takes some 10 ms."""
SEEDS: Final = (
    b'\x01<speak>Hi <break time="2s"/>there <prosody rate="+20%">fast</prosody>[pause:500ms] x < y</speak>',
    b'\x02<sub alias="World Wide Web">WWW</sub> <say-as interpret-as="date" format="dmy">1/2/2026</say-as>',
    '\x00[Worcester](/ˈwʊstər/) <phoneme alphabet="ipa" ph="təˈmɑːtoʊ">tomato</phoneme>'.encode(),
    b'\x03<say-as interpret-as="ordinal">21</say-as><!-- c --><p>a</p><?x?>[pause] &lt;b&gt; &#x27;',
    b'\x02<a b="x>y" c=\'>\'>d</a><sub alias=\'e > f\'>g</sub><script src="h>i">j</script><break time="1s>k "l"\n',
    b'\x02m</n o="p>q">r<!DOCTYPE s [t>u]>v',
    b'\x00<!-x- c -->a <phoneme ph="a/>b</phoneme>',
    b"\x05<script async>a<b</script >b<style>p > a {}</style><!-- <style> --><script>c",
    b"\x02<!DOCTYPE speak [<!ENTITY x 'y'>]>if a <b and c> d <input disabled hidden=x>[pause:-1s][pause 1,5 secs]<br>",
)


def _joined(items: Iterable[str | Mark]) -> list[str | Mark]:
    """Returns the items with neighbouring texts as one."""
    joined: list[str | Mark] = []
    for item in items:
        if joined and isinstance(item, str) and isinstance(last := joined[-1], str):
            joined[-1] = last + item
        else:
            joined.append(item)
    return joined


def check(data: bytes) -> None:
    how, rest = chosen(data)
    text, language = as_text(rest), LANGUAGES[how % len(LANGUAGES)]
    began_s = time.thread_time()
    whole = MarkupReader(language)
    items = _joined(whole.feed(text) + whole.finish())
    assert time.thread_time() - began_s < MOST_S
    cut = MarkupReader(language)
    arrived = [item for piece in pieces(text, how // 4) for item in cut.feed(piece)]
    assert _joined(arrived + cut.finish()) == items
    pauses_ms = [item.ms for item in items if isinstance(item, Pause)]
    assert all(0 <= ms <= MAX_PAUSE_MS for ms in pauses_ms)
    assert sum(pauses_ms) <= MAX_PAUSES_MS
    assert all(MIN_SPEED <= item.factor <= MAX_SPEED for item in items if isinstance(item, Rate))
    without_markup(text)


if __name__ == "__main__":
    fuzz(check, SEEDS)
