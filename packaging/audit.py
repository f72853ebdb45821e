"""Looks whether a locked package is one of which a vulnerability is known. It needs no network.

    python packaging/audit.py                        looks at requirements/*.txt
    python packaging/audit.py --refresh [URL]        takes the advisories of OSV, of the locked packages, into the file

The advisories are those of the Open Source Vulnerability database, in its form: https://ossf.github.io/osv-schema/
"""

from __future__ import annotations

import argparse
import datetime as dt
import io
import json
import re
import sys
import urllib.request
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

ROOT: Final = Path(__file__).parents[1]
LISTS: Final = sorted((ROOT / "requirements").glob("*.txt"))
ADVISORIES: Final = ROOT / "packaging/advisories.json"
OSV: Final = "https://osv-vulnerabilities.storage.googleapis.com/PyPI/all.zip"
KEPT: Final = ("id", "aliases", "summary", "published", "withdrawn")
"""What is kept of an advisory beside the versions that it is of."""
IGNORED: Final[dict[str, str]] = {}
"""Advisories that do not concern this project although the version is locked, each with the reason."""
PIN: Final = re.compile(r"(?m)^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;\\]+)")

Advisory = dict[str, Any]
Pins = set[tuple[str, str]]


class CannotAudit(Exception):
    """There is nothing to look at, so that finding nothing would mean nothing."""


def locked(lists: Iterable[Path]) -> Pins:
    """Returns each package in the lists with its version. Raises CannotAudit where a list has none, or other lines."""
    pins: Pins = set()
    for path in lists:
        text = path.read_text()
        found = {(canonicalize_name(pin["name"]), pin["version"]) for pin in PIN.finditer(text)}
        lines = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
        if not found or len(lines) != len(PIN.findall(text)):
            raise CannotAudit(f"{path}: each line must be a package with its version")
        pins |= found
    if not pins:
        raise CannotAudit("there is no list of packages")
    return pins


def load(path: Path) -> tuple[str, list[Advisory]]:
    """Returns until when the advisories of a file are known, and these. Raises CannotAudit."""
    try:
        told = json.loads(path.read_text())
        advisories: list[Advisory] = told["advisories"]
        if not advisories:
            raise CannotAudit(f"{path}: it has no advisory")
        return str(told["known_until"]), advisories
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CannotAudit(f"{path}: {error!r}") from None


def concerning(pins: Pins, advisories: Iterable[Advisory]) -> list[str]:
    """Returns a line for each locked version of which an advisory is."""
    lines = []
    for advisory in advisories:
        if advisory.get("withdrawn") or advisory["id"] in IGNORED:
            continue
        for affected in advisory["affected"]:
            name = canonicalize_name(affected["package"]["name"])
            for version in sorted(version for package, version in pins if package == name):
                if is_affected(version, affected):
                    names = ", ".join([advisory["id"], *advisory.get("aliases", ())])
                    lines.append(f"{name} {version}: {names}: {advisory.get('summary', '')}")
    return lines


def is_affected(version: str, affected: Advisory) -> bool:
    """Tells whether a version is one of those that an advisory lists, or within its ranges."""
    if version in affected.get("versions", ()):
        return True
    return any(
        _is_within(Version(version), each["events"]) for each in affected.get("ranges", ()) if each["type"] != "GIT"
    )


def _is_within(version: Version, events: list[dict[str, str]]) -> bool:
    """Goes through the events in the order of their versions, as the schema's own algorithm does."""
    within, happened = False, [(_of(at), kind) for event in events for kind, at in event.items()]
    for at, kind in sorted(happened):
        if kind == "introduced" and version >= at:
            within = True
        elif (kind == "fixed" and version >= at) or (kind == "last_affected" and version > at):
            within = False
    return within


def _of(version: str) -> Version:
    try:
        return Version(version)
    except InvalidVersion:
        raise CannotAudit(f"an advisory names a version {version!r}") from None


def refreshed(pins: Pins, archive: bytes) -> list[Advisory]:
    """Returns the advisories in OSV's archive that are of locked packages, whatever their version."""
    names = {name for name, _ in pins}
    kept = []
    with zipfile.ZipFile(io.BytesIO(archive)) as files:
        for file in sorted(files.namelist()):
            advisory = json.loads(files.read(file))
            affected = [
                {"package": each["package"], **{key: each[key] for key in ("ranges", "versions") if key in each}}
                for each in advisory.get("affected", ())
                if each.get("package", {}).get("ecosystem") == "PyPI"
                and canonicalize_name(each["package"]["name"]) in names
            ]
            if affected:
                kept.append({**{key: advisory[key] for key in KEPT if key in advisory}, "affected": affected})
    return kept


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lists", nargs="*", type=Path, default=LISTS)
    parser.add_argument("--advisories", type=Path, default=ADVISORIES)
    parser.add_argument("--refresh", nargs="?", const=OSV, metavar="URL")
    arguments = parser.parse_args()
    try:
        pins = locked(arguments.lists)
        if arguments.refresh:
            with urllib.request.urlopen(arguments.refresh) as answer:
                advisories = refreshed(pins, answer.read())
            told = {"known_until": dt.date.today().isoformat(), "source": arguments.refresh, "advisories": advisories}
            arguments.advisories.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n")
        known_until, advisories = load(arguments.advisories)
        found = concerning(pins, advisories)
    except CannotAudit as error:
        print(error, file=sys.stderr)
        return 2
    print(*found, sep="\n", end="\n" if found else "")
    print(
        f"{len(pins)} locked versions, {len(advisories)} advisories known until {known_until}: {len(found)} concern one"
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
