"""Copies what the server needs at run time out of the project's .venv: exactly the versions that the tests ran with."""

from __future__ import annotations

import shutil
import tomllib
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path, PurePath

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

EXTRAS = ("hearing",)
"""Extras of the project that the package has besides the server itself."""
ONLY_WEIGHTS = {
    "moonshine-voice": ("moonshine_voice/__init__.py", "moonshine_voice/assets/tiny-en/"),
    "pipecat-ai": ("pipecat/__init__.py", "pipecat/audio/turn/smart_turn/data/smart-turn-v3.2-cpu.onnx"),
}
"""Packages that are never imported: only the models in them are read, so neither code nor dependencies are taken."""
LEFT_OUT_FOLDERS = {"__pycache__", "tests", "include"}
LEFT_OUT_SUFFIXES = {".pyi", ".pyx", ".pxd", ".h", ".hpp", ".c", ".a"}
"""What only tests, compilers and type checkers read."""
LEFT_OUT_METADATA = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"}
"""What pip alone needs, and what would not be true of the copy."""


class MissingPackage(Exception):
    """A package that the server needs is not installed here."""


def copy_run_time(project: Path, site: Path) -> list[str]:
    """Copies every package into the folder `site`. Returns names and versions. Raises MissingPackage."""
    wanted = _closure(project)
    for name, found in sorted(wanted.items()):
        _copy(found, site, ONLY_WEIGHTS.get(name))
    return [f"{name} {found.version}" for name, found in sorted(wanted.items())]


def _closure(project: Path) -> dict[str, Distribution]:
    table = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    texts = [*table["dependencies"], *(text for extra in EXTRAS for text in table["optional-dependencies"][extra])]
    waiting = [(Requirement(text), "") for text in (*texts, *ONLY_WEIGHTS)]
    found: dict[str, Distribution] = {}
    seen: set[tuple[str, str]] = set()
    while waiting:
        requirement, extra = waiting.pop()
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            raise MissingPackage(f"{requirement} is not installed here: run `make` first") from None
        if name in ONLY_WEIGHTS:
            continue
        for wanted_extra in ("", *requirement.extras):
            if (name, wanted_extra) not in seen:
                seen.add((name, wanted_extra))
                waiting += [(Requirement(text), wanted_extra) for text in found[name].requires or ()]
    return found


def _copy(found: Distribution, site: Path, only: tuple[str, ...] | None) -> None:
    for file in found.files or ():
        if _is_needed(file, only):
            target = site / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(str(file.locate()), target)


def _is_needed(file: PurePath, only: tuple[str, ...] | None) -> bool:
    if ".." in file.parts or file.is_absolute():  # a command, which lies beside site-packages
        return False
    if file.parts[0].endswith(".dist-info"):
        return file.name not in LEFT_OUT_METADATA and "__pycache__" not in file.parts
    if only is not None:
        return file.as_posix().startswith(only)
    return LEFT_OUT_FOLDERS.isdisjoint(file.parts) and file.suffix not in LEFT_OUT_SUFFIXES
