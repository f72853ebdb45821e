"""This Debian machine once more, booted by systemd: packages are installed and services run, and nothing stays."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

SCRIPT = Path(__file__).with_suffix(".sh")
SYSTEMD = Path("/lib/systemd/systemd")
TOOLS = ("unshare", "nsenter", "ip", "dpkg")
NAMESPACES = ("--mount", "--pid", "--ipc", "--uts", "--net", "--cgroup")
BOOT_S = 120
COMMAND_S = 300
END_S = 5


class Unavailable(Exception):
    """The machine cannot be copied here. Its text is the reason."""


class DebianMachine:
    """A copy with processes, a network and a file system of its own. Use it in a `with`."""

    def __init__(self) -> None:
        """Raises Unavailable."""
        release = Path("/etc/debian_version").read_text() if Path("/etc/debian_version").exists() else ""
        if not release.startswith("12."):
            raise Unavailable("this machine is not Debian 12")
        if missing := [tool for tool in TOOLS if shutil.which(tool) is None]:
            raise Unavailable(f"no {', '.join(missing)} here")
        if os.geteuid() != 0 or not SYSTEMD.exists():
            raise Unavailable("root and systemd are needed")
        self._group = _cgroup() / f"talkspurt-test-{os.getpid()}"

    def __enter__(self) -> Self:
        try:
            self._group.mkdir()
        except OSError as error:
            raise Unavailable(f"no control group can be made: {error}") from None
        enter = f'echo $$ > {self._group}/cgroup.procs && exec unshare --fork --kill-child {" ".join(NAMESPACES)} "$@"'
        with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
            notices.bind(f"{folder}/notify")
            self._outer = subprocess.Popen(
                ["sh", "-c", enter, "sh", "sh", str(SCRIPT), f"{folder}/notify"],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            try:
                self._wait_until_booted(notices)
            except BaseException:
                self.__exit__()
                raise
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError, Unavailable):
            os.kill(self.pid, signal.SIGKILL)
        self._outer.kill()
        self._outer.communicate()
        if self._group.exists():
            _wait_until_empty(self._group)
            for group in sorted(self._group.rglob("*/"), reverse=True):
                _remove(group)
            _remove(self._group)

    @property
    def root(self) -> Path:
        """Its file system, as seen from outside."""
        return Path(f"/proc/{self.pid}/root")

    def run(self, *command: str, check: bool = True, timeout_s: float = COMMAND_S) -> str:
        """Runs a command in it as root and returns what it prints."""
        enter = ["nsenter", f"--target={self.pid}", *NAMESPACES, "--root", "--wd", "--"]
        done = subprocess.run(
            [*enter, "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", *command],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True, timeout=timeout_s,
        )  # fmt: skip
        assert not check or done.returncode == 0, f"{' '.join(command)}: {done.returncode}\n{done.stdout}"
        return done.stdout

    def changes(self) -> set[str]:
        """Paths of all files that have been made, changed or removed since it was booted."""
        return set(self.run("find", "/run/changes", "-mindepth", "1", "-printf", "/%P\\n").splitlines())

    @property
    def pid(self) -> int:
        """Of its systemd, as seen from outside. Raises Unavailable once it is gone."""
        children = Path(f"/proc/{self._outer.pid}/task/{self._outer.pid}/children")
        pids = children.read_text().split() if children.exists() else []
        if not pids:
            raise Unavailable("it is not running")
        return int(pids[0])

    def _wait_until_booted(self, notices: socket.socket) -> None:
        """Waits for systemd's notice, or for its end."""
        until_s = time.monotonic() + BOOT_S
        ended = os.pidfd_open(self._outer.pid)
        try:
            while (left_s := until_s - time.monotonic()) > 0:
                ready, _, _ = select.select([notices, ended], [], [], left_s)
                if ended in ready:
                    said = self._outer.communicate()[0][-300:].strip()
                    raise Unavailable(f"namespaces are not allowed here: {said}")
                if notices in ready and b"READY=1" in notices.recv(4096).splitlines():
                    return
        finally:
            os.close(ended)
        raise Unavailable(f"it has not booted within {BOOT_S} s")


def _wait_until_empty(group: Path) -> None:
    """Waits until the last process of a control group, and of those in it, is gone."""
    until_s = time.monotonic() + END_S
    with (group / "cgroup.events").open() as events:
        changed = select.poll()
        changed.register(events, select.POLLPRI)
        while "populated 1" in events.read() and (left_s := until_s - time.monotonic()) > 0:
            changed.poll(left_s * 1000)
            events.seek(0)


def _remove(group: Path) -> None:
    with contextlib.suppress(OSError):  # a process may have outlived END_S
        group.rmdir()


def _cgroup() -> Path:
    for line in Path("/proc/mounts").read_text().splitlines():
        _, folder, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(folder)
    raise Unavailable("no cgroup2 is mounted")
