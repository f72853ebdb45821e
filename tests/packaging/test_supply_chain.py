"""What the project is made of: looked through for known vulnerabilities, told in a bill, and installed by hash."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, Final

import pytest
from packaging.utils import canonicalize_name

from tests.test_requirements import ENTRY, LISTS

ROOT: Final = Path(__file__).parents[2]
AUDIT: Final = ROOT / "packaging/audit.py"
ADVISORIES: Final = ROOT / "packaging/advisories.json"
UNHASHED: Final = ("--no-deps --no-build-isolation -e .", "--no-deps --no-build-isolation .")
"""How the project itself is installed, of which there is no file that could have a hash."""
HASHED: Final = re.compile(r"--require-hashes (-r|--requirement) requirements/\w+\.txt")


def audit(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = (sys.executable, AUDIT, *map(str, arguments))
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


def locked(folder: Path, *lines: str) -> Path:
    path = folder / "locked.txt"
    path.write_text("".join(f"{line} \\\n    --hash=sha256:{'0' * 64}\n" for line in lines))
    return path


def advisory(name: str, *events: dict[str, str], **others: Any) -> dict[str, Any]:
    """An advisory as OSV writes one."""
    affected = {"package": {"ecosystem": "PyPI", "name": name}, "ranges": [{"type": "ECOSYSTEM", "events": [*events]}]}
    return {"id": "PYSEC-1", "summary": "it breaks", "details": "long", "affected": [affected], **others}


def known(folder: Path, *advisories: dict[str, Any]) -> Path:
    path = folder / "advisories.json"
    path.write_text(json.dumps({"known_until": "2026-01-01", "advisories": advisories}))
    return path


def test_no_locked_version_is_known_to_be_vulnerable() -> None:
    done = audit()
    assert done.returncode == 0, done.stdout + done.stderr
    told = re.fullmatch(r"(\d+) locked versions, (\d+) advisories known until .+: 0 concern one\n", done.stdout)
    assert told is not None, done.stdout
    every = {line for name in LISTS for line in ENTRY.findall((ROOT / f"requirements/{name}.txt").read_text())}
    assert int(told[1]) == len({(name, version) for name, version, *_ in every}), "every line was looked at"


@pytest.mark.parametrize("pin", ["aiohttp==3.9.1", "PyYAML==5.3.1 ; python_version < '4'", "urllib3==1.26.16"])
def test_a_version_that_is_known_to_be_vulnerable_is_told(tmp_path: Path, pin: str) -> None:
    done = audit(locked(tmp_path, "yarl==1.9.4", pin))
    assert done.returncode == 1
    name, version = pin.split(" ")[0].split("==")
    assert f"{canonicalize_name(name)} {version}: CVE-20" in done.stdout
    assert "yarl" not in done.stdout


@pytest.mark.parametrize(
    ("version", "is_told"),
    [("0.9", False), ("1.0", True), ("1.4", True), ("1.5", False), ("2.0rc1", False), ("2.1", True), ("3.0", False)],
)
def test_ranges_are_read_as_their_schema_says(tmp_path: Path, version: str, is_told: bool) -> None:
    events = ({"introduced": "2.0"}, {"last_affected": "2.9"}, {"introduced": "1.0"}, {"fixed": "1.5"})
    done = audit(locked(tmp_path, f"thing=={version}"), "--advisories", known(tmp_path, advisory("Thing", *events)))
    assert done.returncode == is_told, done.stdout + done.stderr


def test_an_advisory_that_was_withdrawn_counts_no_more(tmp_path: Path) -> None:
    path = known(tmp_path, advisory("thing", {"introduced": "0"}, withdrawn="2026-01-01T00:00:00Z"))
    assert audit(locked(tmp_path, "thing==1"), "--advisories", path).returncode == 0


def test_an_advisory_that_does_not_concern_us_is_left_out_by_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = spec_from_file_location("audit", AUDIT)
    assert spec is not None
    assert spec.loader is not None
    audit = module_from_spec(spec)
    spec.loader.exec_module(audit)
    told = (advisory("thing", {"introduced": "0"}),)
    assert audit.concerning({("thing", "1")}, told) == ["thing 1: PYSEC-1: it breaks"]
    monkeypatch.setitem(audit.IGNORED, "PYSEC-1", "we do not call it")
    assert audit.concerning({("thing", "1")}, told) == []
    assert all(audit.IGNORED.values())


def test_nothing_to_look_at_is_no_pass(tmp_path: Path) -> None:
    some = locked(tmp_path, "thing==1")
    loose = tmp_path / "loose.txt"
    loose.write_text("thing>=1\n")
    nothing = tmp_path / "nothing.txt"
    nothing.write_text("")
    for arguments in (
        (some, "--advisories", known(tmp_path)),
        (some, "--advisories", tmp_path / "nowhere.json"),
        (some, "--advisories", nothing),
        (loose,),
        (nothing,),
        (some, nothing),
    ):
        done = audit(*arguments)
        assert done.returncode == 2, arguments
        assert done.stderr


def test_the_advisories_of_locked_packages_are_taken_out_of_osvs_archive(tmp_path: Path) -> None:
    archive, path = tmp_path / "all.zip", tmp_path / "advisories.json"
    elsewhere = advisory("thing", {"introduced": "0"})
    elsewhere["affected"][0]["package"]["ecosystem"] = "npm"
    with zipfile.ZipFile(archive, "w") as files:
        for number, told in enumerate(
            (advisory("Thing", {"introduced": "0"}, {"fixed": "2"}), advisory("other", {"introduced": "0"}), elsewhere)
        ):
            files.writestr(f"{number}.json", json.dumps(told))
    refresh = ("--advisories", path, "--refresh", archive.as_uri())
    assert audit(locked(tmp_path, "thing==2"), *refresh).returncode == 0
    (kept,) = json.loads(path.read_text())["advisories"]
    assert kept["affected"][0]["package"]["name"] == "Thing"
    assert "details" not in kept
    assert audit(locked(tmp_path, "thing==1"), "--advisories", path).returncode == 1


def test_the_file_has_advisories_of_locked_packages_alone() -> None:
    ours = {name for each in LISTS for name, *_ in ENTRY.findall((ROOT / f"requirements/{each}.txt").read_text())}
    for told in json.loads(ADVISORIES.read_text())["advisories"]:
        assert ours & {canonicalize_name(each["package"]["name"]) for each in told["affected"]}, told["id"]


def commands(target: str) -> str:
    """Returns what `make` would run."""
    command = ("make", "--dry-run", target)
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_make_lint_looks_for_vulnerabilities() -> None:
    assert re.search(r"(?m)^\S+python packaging/audit\.py$", commands("lint"))


@pytest.mark.parametrize("image", ["cpu", "gpu", "server"])
def test_the_bill_of_an_image_has_each_of_its_packages_with_version_and_hashes(image: str, tmp_path: Path) -> None:
    """The command checks what it writes by CycloneDX's own schema."""
    recipe = re.search(r"cyclonedx-py (requirements .+?) \|\| exit 1", commands("sbom").replace("\\\n", " "), re.DOTALL)
    assert recipe is not None
    path = tmp_path / "bill.json"
    told = recipe[1].replace("$list", image).split()
    told[told.index("--output-file") + 1] = str(path)
    command = (Path(sys.executable).with_name("cyclonedx-py"), *told, "--validate")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    bill = json.loads(path.read_text())
    assert bill["bomFormat"] == "CycloneDX"
    assert bill["metadata"]["component"]["name"] == "talkspurt"
    listed = {
        (match["name"], match["version"]): set(re.findall(r"sha256:(\w+)", match["hashes"]))
        for match in ENTRY.finditer((ROOT / f"requirements/{image}.txt").read_text())
    }
    billed = {
        (part["name"], part["version"]): {
            digest["content"] for source in part["externalReferences"] for digest in source.get("hashes", ())
        }
        for part in bill["components"]
    }
    assert billed == listed


def installs(path: str) -> list[tuple[str, str]]:
    """Returns each of a file's installations by pip, with the paragraph in which it stands."""
    paragraphs = re.split(r"\n\s*\n", (ROOT / path).read_text())
    found = [(match[1], text) for text in paragraphs for match in re.finditer(r"(?:pip3?|PIP\)) install (.+)", text)]
    assert found, path
    return found


@pytest.mark.parametrize("path", ["Dockerfile", "Makefile", "fuzz/build.sh"])
def test_what_is_installed_is_installed_by_hash_or_the_reason_stands_there(path: str) -> None:
    for command, paragraph in installs(path):
        by_hash = HASHED.search(command) or command.strip() in UNHASHED
        reason = re.search(r"(?m)^#.*\bnot by hash\b|^#.*\bnot\n# by hash\b", paragraph)
        assert by_hash or reason, f"{path}: {command}"
