"""Reads the file of AGENTS. All mistakes in it are told at once, each with its line."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from yaml.nodes import Node, SequenceNode

from bridge.brains.fixed_keys import FixedKeys
from bridge.conversation.agents.agent import DEFAULT, Agent, language_of
from bridge.conversation.agents.agents import Agents, language_code, meant
from bridge.conversation.agents.lexicon_file import load_lexicon
from bridge.conversation.agents.yaml_file import Entries, WrongFile, YamlFile
from bridge.conversation.settings import SERVER_WIDE, ConversationSettings
from bridge.conversation.sounds import SOFT
from bridge.explaining import explain
from bridge.number_pattern import compile_number
from engine.speech import UnknownVoice

NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}")
ABOUT: Final = ("default", "description", "numbers", "hands_over_to", "languages")
"""What a section may say beside settings."""
SETTINGS: Final = tuple(name for name in ConversationSettings.model_fields if name not in SERVER_WIDE)
"""The settings that an agent may have of its own."""
OF_A_LANGUAGE: Final = (
    *("voice", "voice_speed", "greeting", "filler", "no_input_prompt", "unclear_prompt", "max_call_warning"),
    *("transfer_brief", "transfer_failed", "cut_off"),
    "asr_language",
)
"""The settings that an agent may have of its own in one of its languages."""
LISTS: Final = {
    "transfer_allow": ";",
    "transfer_warm": ";",
    "fixed_keys": ";",
    "no_input_prompt": "|",
    "unclear_prompt": "|",
    "backchannels": ",",
}
"""Settings that may be written as a YAML list, and what parts their items in the environment."""
KEY_OF: Final = {
    "llm_base_url": "llm_api_key",
    "llm_fallback_base_url": "llm_fallback_api_key",
    "asr_url": "asr_api_key",
}
"""A key is meant for its address: an agent with another address is not given the server's key for it."""

ResolveVoice = Callable[[str], str]
Sections = dict[str, tuple[int, Entries]]
"""The line of each agent's name, and what its section says."""


def load_agents(
    settings: ConversationSettings, resolve_voice: ResolveVoice | None = None, *, needs_model: bool = True
) -> Agents:
    """Returns the agents of the file; without one, the agent that the settings describe. Raises WrongFile.

    They pronounce words as the file of LEXICON says.

    `resolve_voice` raises UnknownVoice, where it is known which voices there are. Only an agent with a language model
    hands calls over, unless a service is the brain of all (`needs_model` is False).
    """
    if settings.agents is None:
        agents = Agents([Agent.load(DEFAULT, settings)], DEFAULT)
    else:
        agents = _File(settings.agents, settings, resolve_voice, needs_model).agents()
    if settings.lexicon is None:
        return agents
    return Agents(list(agents), agents.default.name, load_lexicon(settings.lexicon, agents.by_name))


class _File:
    """One reading of the file."""

    def __init__(
        self, path: Path, settings: ConversationSettings, resolve_voice: ResolveVoice | None, needs_model: bool
    ) -> None:
        self._file = YamlFile(path)
        self._settings = settings
        self._resolve_voice = resolve_voice
        self._needs_model = needs_model
        self._numbers: dict[str, str] = {}
        """Whose each number is."""
        self._targets: list[tuple[int, str, str]] = []
        """Line, agent and target of each hand-over."""
        self._keyed: list[tuple[int, str, str]] = []
        """The same of each hand-over by a key."""

    def agents(self) -> Agents:
        """Returns the agents. Raises WrongFile."""
        root = self._file.entries(self._file.root(), "the file")
        sections = {name: (line, self._file.entries(node, name)) for name, (line, node) in root.items()}
        default = self._default(sections)
        read = [self._agent(name, *section) for name, section in sections.items()]
        agents = [agent for agent in read if agent is not None]
        for line, agent, target in self._targets:
            if target == agent:
                self._file.fault(line, f"{agent}.hands_over_to: an agent cannot hand over to itself")
            elif target not in sections:
                self._file.fault(
                    line, f"{agent}.hands_over_to: there is no agent {target[:80]!r}{meant(target, sections)}"
                )
            elif "description" not in sections[target][1]:
                self._file.fault(sections[target][0], f"{target}: needs a description, for {agent} hands over to it")
        known = [DEFAULT, *sections] if default == DEFAULT else [*sections]
        for line, agent, target in self._keyed:
            if target == agent or target not in known:
                self._file.fault(
                    line, f"{agent}.fixed_keys: there is no other agent {target[:80]!r}{meant(target, known)}"
                )
        if self._file.faults:
            raise WrongFile(self._file.report())
        if default not in sections:
            agents.insert(0, Agent.load(DEFAULT, self._settings))
        return Agents(agents, default)

    def _default(self, sections: Sections) -> str:
        """Returns the name of the agent that takes the calls which no other was chosen for."""
        defaults: list[str] = []
        for name, (_, section) in sections.items():
            if "default" in section:
                line, node = section["default"]
                text = self._file.text(f"{name}.default", node)
                if text not in ("true", "false"):
                    self._file.fault(line, f"{name}.default={text[:80]!r}: must be true or false")
                elif text == "true" and defaults:
                    self._file.fault(line, f"{name}.default: {defaults[0]} is the default already")
                elif text == "true":
                    defaults.append(name)
        return defaults[0] if defaults else DEFAULT

    def _agent(self, name: str, line: int, section: Entries) -> Agent | None:
        if not NAME.fullmatch(name):
            self._file.fault(line, f"{name[:80]!r} is no name of an agent: letters, digits, - and _, 40 at most")
        self._check_keys(name, section, (*ABOUT, *SETTINGS))
        own = {key: entry for key, entry in section.items() if key in SETTINGS}
        settings = self._overridden(name, line, self._settings, own)
        numbers = [self._number(name, *item) for item in self._file.items(name, "numbers", section)]
        targets = self._file.items(name, "hands_over_to", section)
        if targets and settings is not None and self._needs_model and not settings.llm_base_url:
            self._file.fault(targets[0][0], f"{name}.hands_over_to: needs llm_base_url; a script hands nothing over")
        self._targets += [(at, name, target) for at, target in targets]
        languages = self._languages(name, settings or self._settings, section)
        about = self._file.text(f"{name}.description", section["description"][1]) if "description" in section else ""
        if settings is None:
            return None
        at = section["fixed_keys"][0] if "fixed_keys" in section else line
        self._keyed += [(at, name, target) for target in FixedKeys(settings.fixed_keys).agents]
        return replace(
            Agent.load(name, settings),
            description=about,
            numbers=tuple(numbers),
            hands_over_to=tuple(target for _, target in targets),
            languages=languages,
        )

    def _languages(
        self, name: str, settings: ConversationSettings, section: Entries
    ) -> Mapping[str, ConversationSettings]:
        if "languages" not in section:
            return {}
        languages = {}
        for code, (line, node) in self._file.entries(section["languages"][1], f"{name}.languages").items():
            where = f"{name}.languages.{code}"
            if language_code(code) != code:
                self._file.fault(line, f"{where}: {code[:80]!r} is no language: two letters are, such as de")
                continue
            entries = self._file.entries(node, where)
            self._check_keys(where, entries, OF_A_LANGUAGE)
            entries = {key: entry for key, entry in entries.items() if key in OF_A_LANGUAGE}
            base = settings.model_copy(update=language_of(settings, code))
            if (spoken := self._overridden(where, line, base, entries)) is not None:
                languages[code] = spoken
        return languages

    def _check_keys(self, where: str, section: Entries, known: tuple[str, ...]) -> None:
        for key, (line, _) in section.items():
            if key in SERVER_WIDE:
                self._file.fault(line, f"{where}.{key}: all agents share this; set {key.upper()} for the server")
            elif key not in known:
                nearest = meant(key, known)
                hint = nearest if "did you mean" in nearest else ""
                self._file.fault(line, f"{where}.{key[:80]}: there is no such setting of an agent{hint}")

    def _overridden(
        self, where: str, line: int, settings: ConversationSettings, section: Entries
    ) -> ConversationSettings | None:
        """Returns the settings with those of the section in their place; None if some are wrong."""
        values = dict(settings)
        values |= {KEY_OF[key]: "" for key in section if key in KEY_OF}
        for key, (_, node) in section.items():
            values[key] = self._value(f"{where}.{key}", key, node)
        if "voice" in section:
            self._check_voice(f"{where}.voice", section["voice"][0], values["voice"])
        try:
            return ConversationSettings.model_validate(values)
        except ValidationError as error:
            for detail in error.errors():
                key = str(detail["loc"][0])
                at = section[key][0] if key in section else line
                self._file.fault(at, explain(f"{where}.{key}", detail["input"], detail["msg"]))
            return None

    def _check_voice(self, where: str, line: int, voice: str) -> None:
        if self._resolve_voice is None:
            return
        try:
            self._resolve_voice(voice)
        except UnknownVoice as error:
            self._file.fault(line, explain(where, voice, f"must be one of {', '.join(error.known)}"))

    def _value(self, where: str, key: str, node: Node) -> Any:
        """Returns a setting's value as it would stand in the environment, so that a file means the same."""
        if isinstance(node, SequenceNode) and key in LISTS:
            return LISTS[key].join(self._file.text(where, item) for item in node.value)
        text = self._file.text(where, node)
        field = ConversationSettings.model_fields[key]
        if not text and field.annotation is not str:
            return field.get_default()
        if key == "thinking_sound" and text not in ("", SOFT):
            return str(self._file.path.parent / text)
        is_path = field.annotation == Path | None
        return self._file.path.parent / text if is_path else text

    # What a section says beside settings --------------------------------------------------------------------------

    def _number(self, name: str, line: int, number: str) -> str:
        try:
            compile_number(number)
        except ValueError as error:
            self._file.fault(line, f"{name}.numbers: {error}")
            return "0"
        if number in self._numbers:
            self._file.fault(line, f"{name}.numbers: {number} is a number of {self._numbers[number]}")
        self._numbers[number] = name
        return number
