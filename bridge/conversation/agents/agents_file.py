"""Reads the file of AGENTS. All mistakes in it are told at once, each with its line."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import ValidationError
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from bridge.conversation.agents.agent import DEFAULT, Agent, language_of
from bridge.conversation.agents.agents import Agents, language_code, meant
from bridge.conversation.settings import SERVER_WIDE, ConversationSettings
from bridge.explaining import explain
from bridge.number_pattern import compile_number
from engine.speech import UnknownVoice

NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}")
ABOUT: Final = ("default", "description", "numbers", "hands_over_to", "languages")
"""What a section may say beside settings."""
SETTINGS: Final = tuple(name for name in ConversationSettings.model_fields if name not in SERVER_WIDE)
"""The settings that an agent may have of its own."""
OF_A_LANGUAGE: Final = (
    "voice voice_speed greeting filler no_input_prompt unclear_prompt max_call_warning asr_language asr_model".split()
)
"""The settings that an agent may have of its own in one of its languages."""
LISTS: Final = {"transfer_allow": ";", "no_input_prompt": "|", "unclear_prompt": "|", "backchannels": ","}
"""Settings that may be written as a YAML list, and what parts their items in the environment."""
KEY_OF: Final = {
    "llm_base_url": "llm_api_key",
    "llm_fallback_base_url": "llm_fallback_api_key",
    "asr_url": "asr_api_key",
}
"""A key is meant for its address: an agent with another address is not given the server's key for it."""

ResolveVoice = Callable[[str], str]
Entries = dict[str, tuple[int, Node]]
"""The line of each key, and its value."""
Sections = dict[str, tuple[int, Entries]]
"""The line of each agent's name, and what its section says."""


class WrongAgents(Exception):
    """The file has mistakes. The message has a line for each."""


def load_agents(settings: ConversationSettings, resolve_voice: ResolveVoice | None = None) -> Agents:
    """Returns the agents of the file; without one, the agent that the settings describe. Raises WrongAgents.

    `resolve_voice` raises UnknownVoice, where it is known which voices there are.
    """
    if settings.agents is None:
        return Agents([Agent.load(DEFAULT, settings)], DEFAULT)
    return _File(settings.agents, settings, resolve_voice).agents()


class _File:
    """One reading of the file."""

    def __init__(self, path: Path, settings: ConversationSettings, resolve_voice: ResolveVoice | None) -> None:
        self._path = path
        self._settings = settings
        self._resolve_voice = resolve_voice
        self._faults: list[tuple[int, str]] = []
        self._numbers: dict[str, str] = {}
        """Whose each number is."""
        self._targets: list[tuple[int, str, str]] = []
        """Line, agent and target of each hand-over."""

    def agents(self) -> Agents:
        """Returns the agents. Raises WrongAgents."""
        root = self._entries(self._root(), "the file")
        sections = {name: (line, self._entries(node, name)) for name, (line, node) in root.items()}
        default = self._default(sections)
        read = [self._agent(name, *section) for name, section in sections.items()]
        agents = [agent for agent in read if agent is not None]
        for line, agent, target in self._targets:
            if target not in sections:
                self._fault(line, f"{agent}.hands_over_to: there is no agent {target[:80]!r}{meant(target, sections)}")
            elif "description" not in sections[target][1]:
                self._fault(sections[target][0], f"{target}: has to have a description, because {agent} hands over to it")
        if self._faults:
            lines = dict.fromkeys(f"{self._path}:{line}: {fault}" for line, fault in sorted(self._faults))
            raise WrongAgents("\n".join(lines))
        if default not in sections:
            agents.insert(0, Agent.load(DEFAULT, self._settings))
        return Agents(agents, default)

    def _default(self, sections: Sections) -> str:
        """Returns the name of the agent that takes the calls which no other was chosen for."""
        defaults = []
        for name, (_, section) in sections.items():
            if "default" in section:
                line, node = section["default"]
                text = self._text(f"{name}.default", node)
                if text not in ("true", "false"):
                    self._fault(line, f"{name}.default={text[:80]!r}: must be true or false")
                elif text == "true" and defaults:
                    self._fault(line, f"{name}.default: {defaults[0]} is the default already")
                elif text == "true":
                    defaults.append(name)
        return defaults[0] if defaults else DEFAULT

    def _agent(self, name: str, line: int, section: Entries) -> Agent | None:
        if not NAME.fullmatch(name):
            self._fault(line, f"{name[:80]!r} is no name of an agent: letters, digits, - and _, 40 at most")
        self._check_keys(name, section, (*ABOUT, *SETTINGS))
        own = {key: entry for key, entry in section.items() if key in SETTINGS}
        settings = self._overridden(name, line, self._settings, own)
        if settings is None:
            return None
        agent = replace(
            Agent.load(name, settings),
            numbers=tuple(self._number(name, *item) for item in self._items(name, "numbers", section)),
            hands_over_to=tuple(self._target(name, settings, *item) for item in self._items(name, "hands_over_to", section)),
            languages=self._languages(name, settings, section),
        )
        if "description" in section:
            agent = replace(agent, description=self._text(f"{name}.description", section["description"][1]))
        return agent

    def _languages(self, name: str, settings: ConversationSettings, section: Entries) -> Mapping[str, ConversationSettings]:
        if "languages" not in section:
            return {}
        languages = {}
        for code, (line, node) in self._entries(section["languages"][1], f"{name}.languages").items():
            where = f"{name}.languages.{code}"
            if language_code(code) != code:
                self._fault(line, f"{where}: {code[:80]!r} is no language: two letters are, such as de")
                continue
            entries = self._entries(node, where)
            self._check_keys(where, entries, OF_A_LANGUAGE)
            entries = {key: entry for key, entry in entries.items() if key in OF_A_LANGUAGE}
            base = settings.model_copy(update=language_of(settings, code))
            if (spoken := self._overridden(where, line, base, entries)) is not None:
                languages[code] = spoken
        return languages

    def _overridden(
        self, where: str, line: int, settings: ConversationSettings, section: Entries
    ) -> ConversationSettings | None:
        """Returns the settings with those of the section in their place; None if some are wrong."""
        values = dict(settings)
        values |= {KEY_OF[key]: "" for key in section if key in KEY_OF}
        for key, (_, node) in section.items():
            values[key] = self._value(f"{where}.{key}", key, node)
        try:
            overridden = ConversationSettings.model_validate(values)
        except ValidationError as error:
            for detail in error.errors():
                key = str(detail["loc"][0])
                at = section[key][0] if key in section else line
                self._fault(at, explain(f"{where}.{key}", detail["input"], detail["msg"]))
            return None
        if self._resolve_voice is not None and "voice" in section:
            try:
                self._resolve_voice(overridden.voice)
            except UnknownVoice as error:
                message = f"must be one of {', '.join(error.known)}"
                self._fault(section["voice"][0], explain(f"{where}.voice", error.voice, message))
        return overridden

    def _value(self, where: str, key: str, node: Node) -> Any:
        """Returns a setting's value as it would stand in the environment, so that a file means the same."""
        if isinstance(node, SequenceNode) and key in LISTS:
            return LISTS[key].join(self._text(where, item) for item in node.value)
        text = self._text(where, node)
        field = ConversationSettings.model_fields[key]
        if not text and field.annotation is not str:
            return field.get_default()
        is_path = field.annotation == Path | None
        return self._path.parent / text if is_path else text

    # What a section says beside settings --------------------------------------------------------------------------

    def _number(self, name: str, line: int, number: str) -> str:
        try:
            compile_number(number)
        except ValueError as error:
            self._fault(line, f"{name}.numbers: {error}")
            return "0"
        if number in self._numbers:
            self._fault(line, f"{name}.numbers: {number} is a number of {self._numbers[number]}")
        self._numbers[number] = name
        return number

    def _target(self, name: str, settings: ConversationSettings, line: int, target: str) -> str:
        if target == name:
            self._fault(line, f"{name}.hands_over_to: an agent cannot hand over to itself")
        elif not settings.llm_base_url:
            self._fault(line, f"{name}.hands_over_to: needs llm_base_url, because a script hands nothing over")
        else:
            self._targets.append((line, name, target))
        return target

    def _items(self, name: str, key: str, section: Entries) -> list[tuple[int, str]]:
        """Returns the line and the text of each item of a list, which may be one item alone."""
        if key not in section:
            return []
        node = section[key][1]
        items = node.value if isinstance(node, SequenceNode) else [node]
        return [(_line(item), self._text(f"{name}.{key}", item)) for item in items]

    # YAML ---------------------------------------------------------------------------------------------------------

    def _root(self) -> Node:
        try:
            root = yaml.compose(self._path.read_text("utf-8"), yaml.SafeLoader)
        except OSError as error:
            raise WrongAgents(f"AGENTS={self._path}: {error.strerror}") from None
        except RecursionError:
            raise WrongAgents(f"{self._path}: it is nested too deeply") from None
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark is not None else 1
            raise WrongAgents(f"{self._path}:{line}: {error.problem or error.context}") from None
        except (yaml.YAMLError, ValueError) as error:
            raise WrongAgents(f"{self._path}: {' '.join(str(error).split())}") from None
        return root or ScalarNode("", "")

    def _entries(self, node: Node, where: str) -> Entries:
        if isinstance(node, ScalarNode) and node.value in ("", "~", "null"):
            return {}
        if not isinstance(node, MappingNode):
            self._fault(_line(node), f"{where}: must be a mapping, as `name: value`")
            return {}
        entries: Entries = {}
        for key, value in node.value:
            name = key.value if isinstance(key, ScalarNode) else "?"
            if name in entries:
                self._fault(_line(key), f"{where}: {name} stands here twice, first in line {entries[name][0]}")
            entries[name] = _line(key), value
        return entries

    def _check_keys(self, where: str, section: Entries, known: tuple[str, ...] | list[str]) -> None:
        for key, (line, _) in section.items():
            if key in SERVER_WIDE:
                self._fault(line, f"{where}.{key}: all agents share this; set {key.upper()} for the server")
            elif key not in known:
                nearest = meant(key, known)
                hint = nearest if "did you mean" in nearest else ""
                self._fault(line, f"{where}.{key[:80]}: there is no such setting of an agent{hint}")

    def _text(self, where: str, node: Node) -> str:
        if isinstance(node, ScalarNode):
            return "" if node.tag == "tag:yaml.org,2002:null" else str(node.value)
        self._fault(_line(node), f"{where}: must be a text or a number")
        return ""

    def _fault(self, line: int, fault: str) -> None:
        self._faults.append((line, fault))


def _line(node: Node) -> int:
    return 1 if node.start_mark is None else int(node.start_mark.line) + 1
