"""The units shut the server in, say why in each line, and go with the settings that the package brings."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from bridge.__main__ import main
from bridge.config import FIELDS, Settings
from bridge.misspelt import misspelt

PACKAGING = Path(__file__).parents[2] / "packaging"
UNIT = PACKAGING / "talkspurt.service"
DROP_INS = sorted(PACKAGING.glob("*.conf"))
MOST_EXPOSED = {"": 1.5, "gpu.conf": 2.5}
"""What `systemd-analyze security` may say: 0 is shut in, 10 is exposed."""

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")


@needs_systemd
@pytest.mark.parametrize("drop_in", MOST_EXPOSED)
def test_exposure(drop_in: str, tmp_path: Path) -> None:
    unit = tmp_path / "talkspurt.service"
    unit.write_text(UNIT.read_text() + ((PACKAGING / drop_in).read_text() if drop_in else ""))
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(unit)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    exposure = re.search(r"Overall exposure level for talkspurt.service: ([0-9.]+)", told)
    assert exposure is not None, told
    assert float(exposure[1]) <= MOST_EXPOSED[drop_in], told


@pytest.mark.parametrize("path", [UNIT, *DROP_INS], ids=lambda path: path.name)
def test_every_group_of_lines_has_its_reason(path: Path) -> None:
    reason = ""
    for line in path.read_text().splitlines():
        if line.startswith("#"):
            reason = line
        elif not line or line.startswith("["):
            reason = reason if line.startswith("[") else ""
        else:
            assert reason or line.split("=")[0] in ("Description", "WantedBy"), f"{path.name}: {line}"


def test_every_setting_of_the_file_exists_and_its_values_are_allowed() -> None:
    lines = (PACKAGING / "talkspurt.env").read_text().splitlines()
    pairs = dict(match.groups() for line in lines if (match := re.fullmatch(r"#?([A-Z0-9_]+)=(.*)", line)))
    assert len(pairs) > 25
    assert not misspelt(sorted(name.lower() for name in pairs), FIELDS)
    assert {name.lower() for name in pairs} <= set(FIELDS)
    Settings.of(**{name.lower(): value for name, value in pairs.items() if value})


def test_what_is_commented_out_is_the_default() -> None:
    """Whoever takes the # away and changes nothing changes nothing."""
    text = (PACKAGING / "talkspurt.env").read_text()
    for name, value in re.findall(r"(?m)^#([A-Z0-9_]+)=(.+)$", text):
        if name not in ("RECORD_DIR", "AGENTS", "LEXICON"):  # examples of where the service may write and read
            default = FIELDS[name.lower()].default
            assert str(default).lower() == value.lower(), name


def test_each_setting_has_a_line_that_explains_it() -> None:
    for block in (PACKAGING / "talkspurt.env").read_text().split("\n\n")[1:]:
        assert block.startswith("# "), block


def test_the_manual_page_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    commands = re.findall(r"(?m)^    ([a-z]+) ", capsys.readouterr().out)
    page = (PACKAGING / "talkspurt.1").read_text()
    described = re.findall(r"(?m)^\.B ([a-z]+)$", page.split(".SH COMMANDS")[1].split(".SH FILES")[0])
    assert sorted(described) == sorted(commands)
    assert len(commands) > 5
