"""The lists in requirements/: complete, of the versions that the tests run with, and each package with its hashes."""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, Final

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT: Final = Path(__file__).parents[1]
PROJECT: Final[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS: Final[dict[str, list[str]]] = PROJECT["project"]["optional-dependencies"]
GROUPS: Final[dict[str, list[str]]] = PROJECT["dependency-groups"]
ALONE: Final = {entry["name"] for entry in PROJECT["tool"]["uv"]["dependency-metadata"]}
"""Packages that are installed without what they say they need."""
LISTS: Final = {
    "cpu": (*EXTRAS["hearing"], *EXTRAS["pico"], *EXTRAS["wyoming"], *GROUPS["turns"]),
    "gpu": (
        *(*EXTRAS["gpu"], *EXTRAS["hearing"], *EXTRAS["pico"], *EXTRAS["wyoming"]),
        *(*GROUPS["cuda"], *GROUPS["turns"]),
    ),
    "server": (
        *(*EXTRAS["hearing"], *EXTRAS["languages"], *EXTRAS["mcp"], *EXTRAS["pico"], *EXTRAS["wyoming"]),
        *GROUPS["turns"],
    ),
    "dev": (*EXTRAS["demo"], *EXTRAS["dev"], *GROUPS["turns"]),
}
"""What each list is for, beside the server itself and what builds it."""
ENTRY: Final = re.compile(
    r"(?P<name>[a-z0-9-]+)==(?P<version>\S+)(?: ; (?P<marker>[^\\\n]+?))?"
    r"(?P<hashes>(?: \\\n    --hash=sha256:[0-9a-f]{64})+)\n"
)


def entries(name: str) -> dict[str, str]:
    """Returns the version of each package in a list that goes with this machine."""
    return {
        match["name"]: match["version"]
        for match in ENTRY.finditer((ROOT / f"requirements/{name}.txt").read_text())
        if match["marker"] is None or Requirement(f"it; {match['marker']}").marker.evaluate()  # type: ignore[union-attr]
    }


def constraints() -> dict[str, str]:
    """Returns the version of each package that the tests run with."""
    lines = re.findall(r"(?m)^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text())
    return {canonicalize_name(name): version for name, version in lines}


def wanted(texts: Iterable[str], extras: Iterable[str] = ("",)) -> Iterator[Requirement]:
    """Yields what goes with this machine, the project's own extras by what is in them."""
    for requirement in map(Requirement, texts):
        if requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in extras):
            if requirement.name == "talkspurt":
                yield from wanted(text for extra in requirement.extras for text in EXTRAS[extra])
            else:
                yield requirement


def needs(requirement: Requirement, version: str) -> Iterator[Requirement]:
    """Yields what a package asks for, where that version of it is installed here."""
    try:
        installed = distribution(requirement.name)
    except PackageNotFoundError:
        return
    if requirement.name not in ALONE and installed.version == version:
        yield from wanted(installed.requires or (), ("", *requirement.extras))


@pytest.mark.parametrize("name", LISTS)
def test_every_line_is_a_version_with_its_hashes(name: str) -> None:
    """Nothing else stands there, above all no address to fetch from."""
    assert ENTRY.sub("", (ROOT / f"requirements/{name}.txt").read_text()) == ""


@pytest.mark.parametrize("name", LISTS)
def test_a_list_has_what_the_project_asks_for_and_what_that_needs(name: str) -> None:
    versions = entries(name)
    waiting = list(wanted((*PROJECT["project"]["dependencies"], *PROJECT["build-system"]["requires"], *LISTS[name])))
    seen: set[str] = set()
    while waiting:
        requirement = waiting.pop()
        found = versions.get(canonicalize_name(requirement.name))
        assert found is not None, f"{requirement}: `make lock`"
        assert requirement.specifier.contains(found), f"{requirement}, and there is {found}: `make lock`"
        if str(requirement) not in seen:
            seen.add(str(requirement))
            waiting += needs(requirement, found)


@pytest.mark.parametrize("name", LISTS)
def test_the_versions_are_those_that_the_tests_run_with(name: str) -> None:
    known = constraints()
    stale = {package: version for package, version in entries(name).items() if known.get(package, version) != version}
    assert stale == {}, "`make lock`"


def test_every_package_of_the_tests_has_its_hashes() -> None:
    assert constraints().keys() <= {package for name in LISTS for package in entries(name)}


def test_what_is_installed_here_is_on_the_list() -> None:
    """So the Debian package, which is made of it, holds nothing else."""
    for package, version in entries("dev").items():
        assert distribution(package).version == version


def test_make_lock_writes_every_list_and_no_other() -> None:
    done = subprocess.run(("make", "--dry-run", "lock"), cwd=ROOT, capture_output=True, text=True, check=True)
    written = re.findall(r"--output-file requirements/(\w+)\.txt", done.stdout)
    assert sorted(written) == sorted(path.stem for path in (ROOT / "requirements").iterdir()) == sorted(LISTS)


def test_images_install_what_is_on_their_list_and_nothing_else() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    installs = re.findall(r"pip install (.*)$", dockerfile, re.M)
    assert installs == [
        command
        for image in ("cpu", "gpu")
        for command in (
            f"--no-deps --require-hashes --requirement requirements/{image}.txt",
            "--no-deps --no-build-isolation .",
        )
    ]
