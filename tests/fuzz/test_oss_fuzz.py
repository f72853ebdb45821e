"""What OSS-Fuzz asks of a project, as far as it can be tried without its image."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final
from zipfile import ZipFile

import yaml

from fuzz.campaign import harnesses

ROOT: Final = Path(__file__).parents[2]


def test_the_project_says_what_it_is_made_with() -> None:
    project = yaml.safe_load((ROOT / "fuzz/project.yaml").read_text())
    assert project["language"] == "python"
    assert project["fuzzing_engines"] == ["libfuzzer"], "the only one for Python"
    assert set(project["sanitizers"]) <= {"address", "undefined"}
    assert project["primary_contact"]


def test_the_image_is_clean() -> None:
    command = (Path(sys.executable).with_name("hadolint"), "fuzz/Dockerfile")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_every_harness_is_built_and_gets_its_seeds(tmp_path: Path) -> None:
    """The image's own programs only tell here what they were asked for."""
    (tmp_path / "src").mkdir()
    (tmp_path / "src/talkspurt").symlink_to(ROOT)
    (tmp_path / "out").mkdir()
    (tmp_path / "bin").mkdir()
    for name in ("pip3", "compile_python_fuzzer"):
        (tmp_path / "bin" / name).write_text(f'#!/bin/sh\necho {name} "$@"\n')
        (tmp_path / "bin" / name).chmod(0o755)
    (tmp_path / "bin/python3").symlink_to(sys.executable)
    environment = {
        "PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin",
        "SRC": str(tmp_path / "src"),
        "OUT": str(tmp_path / "out"),
        "PYTHONPATH": ":".join(sys.path),
    }
    command = ("bash", "-eu", "fuzz/build.sh")
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    asked = done.stdout.splitlines()
    assert "--require-hashes" in asked[0]
    assert {line.split()[1] for line in asked[1:]} == {f"fuzz/fuzz_{name}.py" for name in harnesses()}
    corpora = {path.name: ZipFile(path).namelist() for path in (tmp_path / "out").iterdir()}
    assert corpora.keys() == {f"fuzz_{name}_seed_corpus.zip" for name in harnesses()}
    assert all(corpora.values())
