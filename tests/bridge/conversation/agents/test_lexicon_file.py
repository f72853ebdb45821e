"""The file of LEXICON: what it may say, and every mistake at once, each with its line."""

from __future__ import annotations

import gc
import re
from pathlib import Path

import pytest

from bridge.config import WrongSetting, load_settings
from bridge.conversation.agents.agents_file import load_agents
from bridge.conversation.agents.lexicon_file import load_lexicon
from bridge.conversation.agents.yaml_file import WrongFile
from bridge.conversation.settings import ConversationSettings
from engine.lexicon import Lexicon, Reading

FILE = """\
en:
  Worcester: /ˈwʊstər/
  SQL: sequel
  GIF: /dʒɪf/ jiff
  New York: /nuː ˈjɔːrk/
any:
  Talkspurt: /ˈtɔːkspɜːrt/
de:
  Chef: Scheff
agents:
  shop:
    en:
      SQL: squirrel
"""


def read(folder: Path, text: str, agents: tuple[str, ...] | None = ("desk", "shop")) -> Lexicon:
    path = folder / "lexicon.yaml"
    path.write_text(text, "utf-8")
    return load_lexicon(path, agents)


def faults(folder: Path, text: str) -> list[str]:
    with pytest.raises(WrongFile) as raised:
        read(folder, text)
    prefix = f"{folder / 'lexicon.yaml'}:"
    return [line.removeprefix(prefix) for line in str(raised.value).splitlines()]


def readings(lexicon: Lexicon, text: str, language: str = "en") -> list[Reading]:
    return [reading for _, _, reading in lexicon.find(text, language)]


def test_a_word_has_a_respelling_or_its_sounds_or_both(tmp_path: Path) -> None:
    lexicon = read(tmp_path, FILE)
    assert readings(lexicon, "Worcester SQL GIF New York Talkspurt Chef") == [
        Reading("ˈwʊstər"),
        Reading(say="sequel"),
        Reading("dʒɪf", "jiff"),
        Reading("nuː ˈjɔːrk"),
        Reading("ˈtɔːkspɜːrt"),
    ]
    assert readings(lexicon, "Chef SQL", "de") == [Reading(say="Scheff")]


def test_the_file_on_the_page_is_right(tmp_path: Path) -> None:
    page = (Path(__file__).parents[4] / "docs/pronunciation.md").read_text("utf-8")
    [shown] = re.findall(r"```yaml\n(.*?)```", page, re.S)
    lexicon = read(tmp_path, shown)
    assert readings(lexicon, "SQL, a GIF of New York") == readings(read(tmp_path, FILE), "SQL, a GIF of New York")
    assert readings(lexicon.of_agent("shop"), "SKU SQL") == [Reading(say="skew"), Reading(say="sequel")]


def test_an_agent_may_have_its_own(tmp_path: Path) -> None:
    lexicon = read(tmp_path, FILE)
    assert readings(lexicon.of_agent("shop"), "SQL") == [Reading(say="squirrel")]
    assert readings(lexicon.of_agent("desk"), "SQL") == [Reading(say="sequel")]


def test_an_empty_file_is_an_empty_lexicon(tmp_path: Path) -> None:
    assert not read(tmp_path, "")


def test_every_mistake_is_told_with_its_line(tmp_path: Path) -> None:
    wrong = """\
english:
  a: b
en:
  Worcester: /ˈwʊ5tər/
  SQL:
  "[x]": y
  GIF: /dʒf/
  SQL: again
  Link: <break/>
agents:
  shpo:
    en: [1]
    xx1: {}
  desk:
    any:
      a: [b]
"""
    assert faults(tmp_path, wrong) == [
        "1: english: is no language: two letters are, such as en, or `any` for all",
        "4: en.Worcester: /ˈwʊ5tər/ is no IPA: '5' stands for no sound of the IPA",
        "6: en.[x]: a word begins with a letter or digit, has 60 characters at most and no brackets",
        "7: en.GIF: /dʒf/ has no vowel",
        "8: en: SQL stands here twice, first in line 5",
        "9: en.Link: '<break/>' must be what is read instead, or IPA between slashes, as /ˈwʊstər/",
        "11: agents: there is no agent 'shpo'; did you mean 'shop'?",
        "12: agents.shpo.en: must be a mapping, as `name: value`",
        "13: agents.shpo.xx1: is no language: two letters are, such as en, or `any` for all",
        "16: agents.desk.any.a: '' must be what is read instead, or IPA between slashes, as /ˈwʊstər/",
        "16: agents.desk.any.a: must be a text or a number",
    ]


def test_the_agents_are_those_of_the_server(tmp_path: Path) -> None:
    agents = tmp_path / "agents.yaml"
    agents.write_text("shop:\n  greeting: The shop.\n")
    lexicon = tmp_path / "lexicon.yaml"
    lexicon.write_text(FILE, "utf-8")
    settings = ConversationSettings.model_validate({"agents": agents, "lexicon": lexicon})
    loaded = load_agents(settings)
    styles = [loaded.find(name).style.lexicon for name in ("shop", "default")]
    assert [readings(style or Lexicon(), "SQL") for style in styles] == [
        [Reading(say="squirrel")],
        [Reading(say="sequel")],
    ]
    assert loaded.default.name == "default"
    assert readings(loaded.lexicon or Lexicon(), "SQL") == [Reading(say="sequel")]
    agents.write_text("desk:\n  greeting: The desk.\n")
    with pytest.raises(WrongFile, match=r"lexicon.yaml:11: agents: there is no agent 'shop'"):
        load_agents(settings)


def test_a_mistake_stops_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "lexicon.yaml"
    path.write_text("en:\n  Worcester: /w/\n")
    monkeypatch.setenv("LEXICON", str(path))
    with pytest.raises(WrongSetting, match=r"lexicon.yaml:2: en.Worcester: /w/ has no vowel"):
        load_settings(tmp_path / "none.env")
    monkeypatch.setenv("LEXICON", str(tmp_path / "missing.yaml"))
    with pytest.raises(WrongSetting, match=r"missing.yaml: No such file"):
        load_settings(tmp_path / "none.env")


def test_an_agent_cannot_have_a_file_of_its_own(tmp_path: Path) -> None:
    agents = tmp_path / "agents.yaml"
    agents.write_text("shop:\n  lexicon: mine.yaml\n")
    with pytest.raises(WrongFile, match="all agents share this; set LEXICON for the server"):
        load_agents(ConversationSettings.model_validate({"agents": agents}))


def test_no_collection_holds_the_event_loop_while_a_long_file_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is read in a thread, but the collector walked all that was read so far in one step, of up to 40 ms."""
    enabled: list[bool] = []

    def noted(word: str) -> str:
        enabled.append(gc.isenabled())
        return word

    monkeypatch.setattr("bridge.conversation.agents.lexicon_file.language_code", noted)
    assert read(tmp_path, FILE)
    with pytest.raises(WrongFile):
        read(tmp_path, "en:\n  SQL: /x/\n")
    assert enabled
    assert not any(enabled)
    assert gc.isenabled()
