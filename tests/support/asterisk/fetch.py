"""Debian's Asterisk, unpacked into a cache folder: no root, nothing installed, no maintainer script run.

Run by the tests when they need it; by hand: `python -m tests.support.asterisk.fetch`.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
CACHE = Path(os.environ.get("TALKSPURT_CACHE") or HERE.parents[2] / ".cache")
MIRROR = os.environ.get("TALKSPURT_DEBIAN_MIRROR")
"""Where to fetch from; unset: the mirror that this machine's own apt uses."""
SUITE = "sid"
"""The only suite with an Asterisk 22."""
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
APT_TIMEOUT_S = 300


class Unavailable(Exception):
    """Asterisk cannot be had on this machine. Its text is the reason."""


@dataclass(frozen=True, slots=True)
class Installation:
    """An Asterisk in a folder of its own, libc and loader included, so that it runs on an older system."""

    root: Path

    @property
    def libraries(self) -> Path:
        return self.root / "usr/lib/x86_64-linux-gnu"

    @property
    def modules(self) -> Path:
        return self.libraries / "asterisk/modules"

    @property
    def loader(self) -> list[str]:
        return [str(self.root / "usr/lib64/ld-linux-x86-64.so.2"), "--library-path", str(self.libraries)]

    @property
    def command(self) -> list[str]:
        return [*self.loader, str(self.root / "usr/sbin/asterisk")]

    def missing_libraries(self, modules: Iterable[str]) -> list[str]:
        """What the loader does not find for Asterisk and these modules."""
        missing = []
        for binary in [self.root / "usr/sbin/asterisk", *(self.modules / module for module in modules)]:
            listing = subprocess.run([*self.loader, "--list", str(binary)], capture_output=True, text=True)
            lines = (listing.stdout + listing.stderr).splitlines()
            missing += [line.strip() for line in lines if re.search(r"not found|cannot open|error", line)]
        return missing


def wanted_modules() -> list[str]:
    """File names of the modules that the tests' configuration loads."""
    return re.findall(r"^load = (\S+)", (HERE / "etc/modules.conf").read_text(), re.MULTILINE)


def fetch(cache: Path = CACHE) -> Installation:
    """The cached Asterisk, downloaded first where it is not there yet, by one process at a time. Raises Unavailable."""
    installation = Installation(cache.resolve() / "asterisk")
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / "asterisk.lock", "w") as lock, tempfile.TemporaryDirectory(dir=cache, prefix="asterisk-") as work:
        fcntl.flock(lock, fcntl.LOCK_EX)  # until the file is closed
        if (installation.root / ".complete").exists():
            return installation
        unpacked = _download_and_unpack(Path(work))
        version = subprocess.run([*unpacked.command, "-V"], capture_output=True, text=True, check=True).stdout
        (unpacked.root / ".complete").write_text(version)
        shutil.rmtree(installation.root, ignore_errors=True)
        unpacked.root.rename(installation.root)
    return installation


def _download_and_unpack(work: Path) -> Installation:
    apt = _PrivateApt(work)
    try:
        apt.run("update")
        try:
            apt.run("download", _listed_packages())
            return _unpack(apt.archives, work / "root")
        except Unavailable:  # the suite has moved on and renamed a library: take all that apt would install
            apt.run("install", ["--yes", "--download-only", "asterisk", "asterisk-modules"])
            return _unpack(apt.archives, work / "root")
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"the Debian mirror gave nothing in {APT_TIMEOUT_S} s: {error.cmd}") from error


class _PrivateApt:
    """apt-get with lists, cache and package status of its own: an empty status, so sid's whole closure is fetched."""

    def __init__(self, work: Path) -> None:
        for tool in ("apt-get", "dpkg-deb", "tar"):
            if not shutil.which(tool):
                raise Unavailable(f"no {tool} here: this machine is not Debian's kin")
        architecture = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True).stdout.strip()
        if architecture != "amd64":
            raise Unavailable(f"the rig knows amd64 only, this machine is {architecture}")
        if not KEYRING.exists():
            raise Unavailable(f"no {KEYRING}: install debian-archive-keyring")
        self.archives = work / "archives"
        for folder in (work / "lists/partial", self.archives / "partial"):
            folder.mkdir(parents=True)
        (work / "status").touch()
        (work / "sources.list").write_text(f"deb [signed-by={KEYRING}] {MIRROR or _own_mirror()} {SUITE} main\n")
        (work / "apt.conf").write_text(
            f"""
            Dir::Etc::sourcelist "{work}/sources.list"; Dir::Etc::sourceparts "/dev/null";
            Dir::Etc::preferences "/dev/null"; Dir::Etc::preferencesparts "/dev/null";
            Dir::State::lists "{work}/lists"; Dir::State::status "{work}/status";
            Dir::Cache "{work}"; Dir::Cache::archives "{self.archives}";
            APT::Update::Error-Mode "any"; APT::Install-Recommends "false"; APT::Sandbox::User ""; Debug::NoLocking "1";
            Acquire::Languages "none"; Acquire::Retries "3";
            Acquire::Check-Valid-Until "false";  # a mirror may be a snapshot, older than sid's Release is valid
            """
        )
        self._environment = {**os.environ, "APT_CONFIG": str(work / "apt.conf")}

    def run(self, command: str, arguments: Sequence[str] = ()) -> None:
        done = subprocess.run(
            ["apt-get", "-q", command, *arguments],
            cwd=self.archives,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=APT_TIMEOUT_S,
        )
        if done.returncode:
            raise Unavailable(f"apt-get {command} failed: {' '.join(done.stderr.split())[-400:]}")


def _listed_packages() -> list[str]:
    lines = (HERE / "packages.txt").read_text().splitlines()
    return [line for line in lines if not line.startswith("#")]


def _own_mirror() -> str:
    """The first archive that this machine's apt is set up with."""
    query = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]
    uris = subprocess.run(query, capture_output=True, text=True).stdout.split()
    for uri in uris:
        if "security" not in uri:
            return uri
    raise Unavailable("apt has no package source here; TALKSPURT_DEBIAN_MIRROR may name one")


def _unpack(archives: Path, root: Path) -> Installation:
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    skipped = [f"--exclude=./usr/share/{folder}" for folder in ("doc", "man", "locale")]
    for archive in sorted(archives.glob("*.deb")):
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", archive], stdout=subprocess.PIPE) as package:
            tar = ["tar", "-x", "-C", str(root), "--keep-directory-symlink", "--no-same-owner", *skipped]
            subprocess.run(tar, stdin=package.stdout, check=True)
        if package.returncode:
            raise Unavailable(f"{archive.name} is broken")
    installation = Installation(root)
    if missing := installation.missing_libraries(wanted_modules()):
        raise Unavailable(f"libraries are missing from the packages: {'; '.join(missing[:5])}")
    return installation


if __name__ == "__main__":
    print(fetch().root)
