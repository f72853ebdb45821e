"""Scenarios out of YAML: what may stand in one, and what is said of one that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.converse.scenario import Moment, When
from bridge.converse.scenario_file import BadScenario, load_scenarios, read_scenarios


def write(folder: Path, text: str, name: str = "one.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_a_short_scenario_is_named_by_its_file(tmp_path: Path) -> None:
    (scenario,) = read_scenarios(write(tmp_path, "caller: [{say: Hello}]"))
    assert scenario.name == "one"
    assert scenario.caller[0].moment == When(Moment.AGENT_ENDS)
    assert not scenario.is_judged


def test_several_documents_are_several_scenarios(tmp_path: Path) -> None:
    text = "name: a\ncaller: [{say: Hello}]\n---\nname: b\ncaller: [{press: '1#'}]\n"
    assert [scenario.name for scenario in read_scenarios(write(tmp_path, text))] == ["a", "b"]


def test_a_folder_stands_for_its_files(tmp_path: Path) -> None:
    write(tmp_path, "caller: [{say: Hello}]", "b.yaml")
    write(tmp_path, "caller: [{say: Hello}]", "a.yml")
    write(tmp_path, "no scenario", "notes.txt")
    assert [scenario.name for scenario in load_scenarios([tmp_path])] == ["a", "b"]


def test_a_script_lies_beside_the_scenario(tmp_path: Path) -> None:
    (scenario,) = read_scenarios(write(tmp_path, "script: menu.yaml\ncaller: [{say: Hello}]"))
    assert scenario.script == tmp_path.resolve() / "menu.yaml"


def test_pauses_stand_between_words(tmp_path: Path) -> None:
    (scenario,) = read_scenarios(write(tmp_path, "caller: [{say: [I would like, 800, a ticket.]}]"))
    assert scenario.caller[0].pieces == ["I would like", 800, "a ticket."]
    assert scenario.caller[0].words == "I would like a ticket."


@pytest.mark.parametrize(
    ("when", "moment"),
    [
        ("at once", When(Moment.AT_ONCE)),
        ("agent begins", When(Moment.AGENT_BEGINS)),
        ("after 800 ms", When(Moment.AFTER, 800)),
        ("after 3 words", When(Moment.AFTER, 1_200)),
    ],
)
def test_moments(tmp_path: Path, when: str, moment: When) -> None:
    (scenario,) = read_scenarios(write(tmp_path, f"caller: [{{say: Hello, when: {when}}}]"))
    assert scenario.caller[0].moment == moment


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("caller:\n  - say: Hello?\n    wen: at once\n", 3, "caller.0.wen: there is no such name; there are say, "),
        ("colour: red\ncaller: [{say: Hello}]\n", 1, "colour: there is no such name; there are name, about, "),
        ("line:\n  noise:\n    kind: brown\n    snr_db: 3\ncaller: [{say: Hi}]\n", 3, "'white', 'babble' or 'music'"),
        ("line:\n  noise: {kind: white}\ncaller: [{say: Hi}]\n", 2, "line.noise.snr_db: Field required"),
        ("line:\n  noise: {kind: white, snr: 3}\ncaller: [{say: Hi}]\n", 2, "there are kind, snr_db"),
        ("caller:\n- say: Hi\n- say: Hi\n  when: later\n", 4, "at once, agent begins, agent ends, after N ms or"),
        ("caller:\n- say: Hi\n- say: Hi\n  press: '1'\n", 3, "exactly one of say, improvise, sound, press"),
        ("caller:\n- hang_up: true\n  goes_on: true\n", 2, "nothing is expected of the agent after a hang_up"),
        ("voice: elvis\ncaller: [{say: Hi}]\n", 1, "must be a voice out of second, heart"),
        ("server: {COLOUR: red}\ncaller: [{say: Hi}]\n", 1, "COLOUR is no setting"),
        ("answers: [{heard: '('}]\ncaller: [{say: Hi}]\n", 1, "must be a regular expression"),
        ("expect: {agent_says: ['[']}\ncaller: [{say: Hi}]\n", 1, "must be a regular expression"),
        ("caller: []\n", 1, "at least 1 item"),
        ("name: [\n", 2, "this is not YAML"),
        ("- say: Hi\n", 1, "valid dictionary"),
        ("caller: [{say: a}]\n---\ncaller: [{say: b}]\n", 1, "needs a name"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, text: str, line: int, said: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(BadScenario) as raised:
        read_scenarios(path)
    assert str(raised.value).startswith(f"{path}:{line}: ")
    assert said in str(raised.value)


def test_a_file_that_is_not_there_or_is_empty(tmp_path: Path) -> None:
    with pytest.raises(BadScenario, match=r"none\.yaml: No such file"):
        read_scenarios(tmp_path / "none.yaml")
    with pytest.raises(BadScenario, match=r"one\.yaml: the file is empty"):
        read_scenarios(write(tmp_path, "# nothing yet\n"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadScenario, match=r"empty: there is no file that ends in \.yaml"):
        load_scenarios([tmp_path / "empty"])


def test_our_own_scenarios_and_the_one_of_the_page_can_be_read(tmp_path: Path) -> None:
    root = Path(__file__).parents[3]
    ours = load_scenarios([root / "tests" / "scenarios"])
    assert len(ours) >= 60
    assert all(scenario.is_judged for scenario in ours)
    page = (root / "docs" / "converse.md").read_text()
    (scenario,) = read_scenarios(write(tmp_path, page.split("```yaml\n")[1].split("```")[0]))
    assert scenario.caller[1].sound == "cough"


def test_no_two_scenarios_have_one_name(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder, "caller: [{say: Hello}]")
    with pytest.raises(BadScenario, match="two scenarios are named 'one'"):
        load_scenarios([tmp_path / "a", tmp_path / "b"])
