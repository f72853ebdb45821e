"""Reads the file of LEXICON. All mistakes in it are told at once, each with its line."""

from __future__ import annotations

import gc
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from yaml.nodes import Node

from bridge.conversation.agents.agents import language_code, meant
from bridge.conversation.agents.yaml_file import WrongFile, YamlFile
from engine.ipa import MAX_IPA_CHARS, UnknownSound, can_be_said, sounds_of
from engine.lexicon import ANY, Lexicon, Reading

AGENTS: Final = "agents"
"""The section with the words of single agents."""
WORD: Final = re.compile(r"[^\W_][^\[\]()<>]{0,59}")
SAY: Final = re.compile(r"[^\[\]<>/]{1,300}")
_READING: Final = re.compile(r"/(?P<ipa>[^/]*)/(?:\s+(?P<say>.+))?")


def load_lexicon(path: Path, agents: Collection[str] | None = None) -> Lexicon:
    """Returns the lexicon in a file, in which no other agents stand than these, if they are told. Raises WrongFile."""
    with _no_collection():
        return _File(path, agents).lexicon()


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keeps the garbage collector from walking a large file's nodes again and again: the event loop waits meanwhile."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class _File:
    """One reading of the file."""

    def __init__(self, path: Path, agents: Collection[str] | None) -> None:
        self._file = YamlFile(path)
        self._agents = agents

    def lexicon(self) -> Lexicon:
        """Returns the lexicon. Raises WrongFile."""
        sections = self._file.entries(self._file.root(), "the file")
        of_agents = {}
        if AGENTS in sections:
            for name, (line, node) in self._file.entries(sections.pop(AGENTS)[1], AGENTS).items():
                if self._agents is not None and name not in self._agents:
                    hint = meant(name, list(self._agents))
                    self._file.fault(line, f"{AGENTS}: there is no agent {name[:80]!r}{hint}")
                of_agents[name] = self._languages(self._file.entries(node, f"{AGENTS}.{name}"), f"{AGENTS}.{name}.")
        of_all = self._languages(sections, "")
        if self._file.faults:
            raise WrongFile(self._file.report())
        return Lexicon(of_all, of_agents)

    def _languages(self, sections: dict[str, tuple[int, Node]], where: str) -> dict[str, dict[str, Reading]]:
        languages = {}
        for code, (line, node) in sections.items():
            if code != ANY and language_code(code) != code:
                self._file.fault(
                    line, f"{where}{code[:80]}: is no language: two letters are, such as en, or `{ANY}` for all"
                )
            words = self._file.entries(node, where + code)
            languages[code] = {word: self._reading(f"{where}{code}.{word[:80]}", word, *words[word]) for word in words}
        return languages

    def _reading(self, where: str, word: str, line: int, node: Node) -> Reading:
        text = self._file.text(where, node).strip()
        told = _READING.fullmatch(text)
        ipa, say = (told["ipa"].strip(), (told["say"] or "").strip()) if told else ("", text)
        if not WORD.fullmatch(word):
            self._file.fault(
                line, f"{where}: a word begins with a letter or digit, has 60 characters at most and no brackets"
            )
        if told and (fault := _fault_of_ipa(ipa)):
            self._file.fault(line, f"{where}: /{ipa[:80]}/ {fault}")
        if (say or not told) and not SAY.fullmatch(say):
            self._file.fault(
                line, f"{where}: {text[:80]!r} must be what is read instead, or IPA between slashes, as /ˈwʊstər/"
            )
        return Reading(ipa, say)


def _fault_of_ipa(ipa: str) -> str:
    if len(ipa) > MAX_IPA_CHARS:
        return f"has more than {MAX_IPA_CHARS} characters"
    try:
        sounds_of(ipa)
    except UnknownSound as error:
        return f"is no IPA: {error}"
    return "" if can_be_said(ipa) else "has no vowel"
