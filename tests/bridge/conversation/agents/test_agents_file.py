"""The file of AGENTS: what it may say, and every mistake at once, each with its line."""

from __future__ import annotations

import wave
from pathlib import Path

import pytest
from pydantic import SecretStr

from bridge.config import WrongSetting, load_settings
from bridge.conversation.agents.agents import Agents, UnknownAgent
from bridge.conversation.agents.agents_file import load_agents
from bridge.conversation.agents.yaml_file import WrongFile
from bridge.conversation.settings import ConversationSettings
from engine.speech import UnknownVoice

SERVER = {"llm_base_url": "http://model/v1", "llm_model": "small", "llm_api_key": "secret", "greeting": "Hello."}


def resolve_voice(name: str) -> str:
    if name not in ("", "anna", "ben"):
        raise UnknownVoice(name, ["anna", "ben"])
    return name


def read(folder: Path, text: str, **server: object) -> Agents:
    path = folder / "agents.yaml"
    path.write_text(text)
    return load_agents(ConversationSettings.model_validate({**SERVER, **server, "agents": path}), resolve_voice)


def faults(folder: Path, text: str, **server: object) -> list[str]:
    with pytest.raises(WrongFile) as raised:
        read(folder, text, **server)
    prefix = f"{folder / 'agents.yaml'}:"
    return [line.removeprefix(prefix) for line in str(raised.value).splitlines()]


def test_without_a_file_there_is_one_agent_which_the_settings_describe() -> None:
    settings = ConversationSettings.model_validate(SERVER)
    agents = load_agents(settings)
    assert [agent.name for agent in agents] == ["default"]
    assert agents.default.settings is settings


def test_a_section_overrides_the_settings_of_the_server_and_takes_the_others_over(tmp_path: Path) -> None:
    agents = read(tmp_path, "sales:\n  greeting: Sales.\n  voice: ben\n  max_call_s: 600\n  asr_language: no\n")
    sales = agents.find("sales").settings
    assert (sales.greeting, sales.voice, sales.max_call_s) == ("Sales.", "ben", 600.0)
    assert sales.asr_language == "no", "Norwegian, not false"
    assert (sales.llm_model, sales.llm_timeout_ms) == ("small", 8_000)
    assert agents.default.name == "default"
    assert agents.default.settings.greeting == "Hello."


def test_each_agent_may_have_a_sound_of_its_own_while_it_thinks(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "hum.wav"), "wb") as wav:
        wav.setparams((1, 2, 8_000, 0, "NONE", ""))
        wav.writeframes(bytes([1, 2]) * 8_000)
    agents = read(tmp_path, "a: {thinking_sound: hum.wav}\nb: {thinking_sound: soft}\nc: {ringing: uk}\n")
    sounds = [(agent.settings.thinking_sound, agent.settings.ringing) for agent in map(agents.find, "abc")]
    assert sounds == [(str(tmp_path / "hum.wav"), "none"), ("soft", "none"), ("", "uk")]


def test_what_is_a_list_may_be_written_as_one_and_an_empty_text_is_empty(tmp_path: Path) -> None:
    text = "a:\n  transfer_allow: ['sales=q,400,1', 'in,2??,1']\n  unclear_prompt: ['What?', 'Again?']\n  filler: ''\n"
    agent = read(tmp_path, text).find("a")
    assert agent.destinations.resolve("sales") == "q,400,1"
    assert agent.settings.unclear_prompt == "What?|Again?"
    assert agent.settings.filler == ""


def test_paths_are_relative_to_the_file_and_an_empty_one_is_none(tmp_path: Path) -> None:
    (tmp_path / "tools.yaml").write_text("tools: [{name: book, description: d, url: 'http://x'}]")
    agents = read(tmp_path, "a: {llm_tools: tools.yaml}\nb: {record_dir: }\n", record_dir=tmp_path / "all")
    assert [tool.name for tool in agents.find("a").tools] == ["book"]
    assert agents.find("a").settings.record_dir == tmp_path / "all"
    assert agents.find("b").settings.record_dir is None


def test_the_servers_key_is_not_given_to_another_address(tmp_path: Path) -> None:
    text = "a: {llm_base_url: 'http://other/v1'}\nb: {llm_base_url: 'http://other/v1', llm_api_key: mine}\nc: {}\n"
    agents = read(tmp_path, text)
    keys = [agents.find(name).settings.llm_api_key for name in "abc"]
    assert keys == [SecretStr(""), SecretStr("mine"), SecretStr("secret")]


def test_every_mistake_is_told_at_once_with_its_line_its_value_and_what_is_allowed(tmp_path: Path) -> None:
    text = """
desk:
  voise: anna
  default: yes
  no_input_timeout_ms: -5
  hands_over_to: [salse, desk, sales]
  numbers: [0049, 12x]
sales:
  default: true
  voice: carl
  llm_api_key: [a]
  webhook_url: http://x
  transfer_allow: 400
  numbers: ['0049']
9to5: {}
last:
  default: true
  languages:
    deutsch: {}
    de: {system_prompt: Hallo, voice: dora}
"""
    assert faults(tmp_path, text) == [
        "3: desk.voise: there is no such setting of an agent; did you mean 'voice'?",
        "4: desk.default='yes': must be true or false",
        "5: desk.no_input_timeout_ms='-5': must be greater than or equal to 0",
        "6: desk.hands_over_to: an agent cannot hand over to itself",
        "6: desk.hands_over_to: there is no agent 'salse'; did you mean 'sales'?",
        "7: desk.numbers: '12x' is no number or pattern such as 2?? or +4930*",
        "8: sales: needs a description, for desk hands over to it",
        "10: sales.voice='carl': must be one of anna, ben",
        "11: sales.llm_api_key: must be a text or a number",
        "12: sales.webhook_url: all agents share this; set WEBHOOK_URL for the server",
        "13: sales.transfer_allow='400': must be an allow-list: "
        "'400' is not context,extension,priority (or name=context,extension,priority)",
        "14: sales.numbers: 0049 is a number of desk",
        "15: '9to5' is no name of an agent: letters, digits, - and _, 40 at most",
        "17: last.default: sales is the default already",
        "19: last.languages.deutsch: 'deutsch' is no language: two letters are, such as de",
        "20: last.languages.de.system_prompt: there is no such setting of an agent",
        "20: last.languages.de.voice='dora': must be one of anna, ben",
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a: {greeting: x}\na: {}\n", "2: the file: a stands here twice, first in line 1"),
        ("a:\n  greeting: x\n  greeting: y\n", "3: a: greeting stands here twice, first in line 2"),
        ("a:\n\tgreeting: x\n", "2: found character '\\t' that cannot start any token"),
        ("- a\n", "1: the file: must be a mapping, as `name: value`"),
        ("a: none\n", "1: a: must be a mapping, as `name: value`"),
        ("a: {llm_base_url: '', hands_over_to: [b]}\nb: {description: d}\n", "1: a.hands_over_to: needs llm_base_url"),
        ("a: {llm_tools: gone.yaml}\n", "1: a.llm_tools="),
        ("a: {asr_api_key: k3y, asr_url: 'ws://u:p@x'}\n", "1: a.asr_api_key=(hidden): must be empty where"),
    ],
)
def test_a_mistake_is_told(tmp_path: Path, text: str, fault: str) -> None:
    (told,) = faults(tmp_path, text)
    assert told.startswith(fault)


def test_a_file_that_is_not_there_or_wrong_stops_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "agents.yaml"
    monkeypatch.setenv("AGENTS", str(path))
    with pytest.raises(WrongSetting, match=f"{path}: No such file"):
        load_settings()
    path.write_text("a: {greting: x}\n")
    with pytest.raises(WrongSetting, match=r"agents\.yaml:1: a\.greting: .*did you mean 'greeting'"):
        load_settings()
    path.write_text("a: {greeting: x}\n")
    load_settings()


@pytest.mark.parametrize(
    ("variables", "name"),
    [
        ({}, "desk"),
        ({"to": "+49 (30) 123-45"}, "sales"),
        ({"to": "+493012346"}, "berlin"),
        ({"to": "205"}, "inside"),
        ({"to": "2050"}, "desk"),
        ({"to": "205", "agent": "berlin"}, "berlin"),
        ({"agent": "gone", "to": "205"}, "inside"),
    ],
)
def test_an_agent_is_chosen_by_name_then_by_number_then_by_default(
    tmp_path: Path, variables: dict[str, str], name: str
) -> None:
    text = (
        "berlin: {numbers: '+4930*'}\nsales: {numbers: ['+493012345', '0800[1-9]*']}\n"
        "inside: {numbers: '2??'}\ndesk: {default: true}\n"
    )
    assert read(tmp_path, text).choose(variables).name == name


def test_a_call_may_have_another_language_and_voice_than_its_agent(tmp_path: Path) -> None:
    text = "a:\n  voice_language: en\n  asr_language: en\n  languages:\n    de: {voice: anna, filler: Moment.}\n"
    agents = read(tmp_path, text)

    def style(**variables: str) -> tuple[str, str | None, str, str]:
        agent = agents.choose({"agent": "a", **variables})
        return agent.style.voice, agent.style.language, agent.settings.asr_language, agent.settings.filler

    assert style() == ("", "en", "en", "One moment, please.")
    assert style(language="de-AT") == ("anna", "de", "de", "Moment.")
    assert style(language="fr", voice="ben") == ("ben", "fr", "fr", "One moment, please.")


def test_an_unknown_name_is_answered_with_the_nearest(tmp_path: Path) -> None:
    agents = read(tmp_path, "sales: {}\nsupport: {}\n")
    with pytest.raises(UnknownAgent, match="no agent 'saels'; did you mean 'sales'"):
        agents.find("saels")
    with pytest.raises(UnknownAgent, match="there are default, sales, support"):
        agents.find("x")


def test_the_documented_file_is_right(tmp_path: Path) -> None:
    page = (Path(__file__).parents[4] / "docs/agents.md").read_text()
    agents = read(tmp_path, page.partition("```yaml\n")[2].partition("```")[0])
    assert [agent.name for agent in agents] == ["desk", "shop", "workshop"]
    assert agents.choose({"to": "+49 30 5550 123"}).name == "shop"
    assert agents.default.languages["de"].no_input_prompt == "Sind Sie noch da?|Ich höre Sie nicht."


def test_a_key_may_hand_the_call_to_another_agent_that_there_is(tmp_path: Path) -> None:
    assert (
        read(tmp_path, "a:\n  fixed_keys: ['0=agent:b', '9=hangup']\nb: {}\n").find("a").settings.fixed_keys
        == "0=agent:b;9=hangup"
    )
    told = faults(tmp_path, "a:\n  greeting: Hi.\n  fixed_keys: 0=agent:c\nb: {}\n")
    assert told == ["3: a.fixed_keys: there is no other agent 'c'; there are default, a, b"]
