"""One throw-away Asterisk on loopback: configured, started and ended by pid."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import time
from pathlib import Path

from tests.support.asterisk.fetch import HERE, Installation

BOOT_TIMEOUT_S = 60
STOP_TIMEOUT_S = 10
RTP_PORTS = 400
RTP_STARTS = (16_384, 19_600)
PORTS = (20_000, 32_000)
"""What `free_port` tells: above the ports of RTP and of Ray, and below those that the kernel gives out by itself."""
_CHANCE = random.SystemRandom()  # a test may have seeded the other one, alike in two processes
_TOLD: set[int] = set()
# Modules that do not load without their file, even an empty one.
EMPTY_CONFIGS = "acl amd ccss cdr cel features indications pjproject stasis udptl websocket_client"
MAX_SOCKET_PATH = 107


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """Returns a loopback port that nobody holds, and that this process is told only once.

    No connection of another test takes it before it is listened on, as it may one that the kernel has given out.
    """
    while True:
        port = _CHANCE.randrange(*PORTS)
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in _TOLD:
            _TOLD.add(port)
            return port


class Asterisk:
    """A running Asterisk. `folder` holds its configuration, its log and what it records."""

    def __init__(self, installation: Installation, folder: Path) -> None:
        self.folder = folder
        self.sip_port = free_port(socket.SOCK_DGRAM)
        self.http_port = free_port()
        self._installation = installation
        # OPENSSL_CONF: the system's own names modules that Debian sid's libssl cannot load.
        self._environment = {**os.environ, "OPENSSL_CONF": "/dev/null"}
        self.command = [*installation.command, "-C", str(folder / "etc/asterisk.conf")]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def sip_address(self) -> tuple[str, int]:
        return "127.0.0.1", self.sip_port

    @property
    def log(self) -> str:
        return (self.folder / "log/full").read_text(errors="replace")

    def start(self) -> None:
        """Returns when every module has loaded and calls are taken."""
        self._configure()
        with (self.folder / "log/console").open("wb") as console:
            self._process = subprocess.Popen(
                [*self.command, "-f"], stdin=subprocess.DEVNULL, stdout=console, stderr=console, env=self._environment
            )
        deadline_s = time.monotonic() + BOOT_TIMEOUT_S
        while self._run_cli("core waitfullybooted").returncode:
            if self._process.poll() is not None or time.monotonic() > deadline_s:
                self.stop()
                raise RuntimeError(f"Asterisk did not start:\n{(self.folder / 'log/console').read_text()[-2000:]}")
            time.sleep(0.05)  # until its control socket is there, nothing can be waited on

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def may_connect(self, client: str) -> None:
        """Adds to where it may connect by WebSocket."""
        with (self.folder / "etc/websocket_client.conf").open("a") as file:
            file.write(client)
        self.cli("module reload res_websocket_client.so")

    def cli(self, command: str) -> str:
        """The output of one command of Asterisk's console."""
        done = self._run_cli(command)
        if done.returncode:
            raise RuntimeError(f"{command}: {done.stdout}{done.stderr}")
        return done.stdout

    def _run_cli(self, command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*self.command, "-rx", command], capture_output=True, text=True, env=self._environment)

    def _configure(self) -> None:
        if len(str(self.folder / "run/asterisk.ctl")) > MAX_SOCKET_PATH:
            raise RuntimeError(f"{self.folder} is too long a name for a Unix socket inside it")
        for name in ("etc", "lib", "spool/outgoing", "run", "log", "music", "recordings"):
            (self.folder / name).mkdir(parents=True)
        for name in EMPTY_CONFIGS.split():
            (self.folder / f"etc/{name}.conf").touch()
        rtp_start = _CHANCE.randrange(*RTP_STARTS, 2)
        values = {
            "@RUN@": self.folder,
            "@ROOT@": self._installation.root,
            "@MODULES@": self._installation.modules,
            "@SIP_PORT@": self.sip_port,
            "@HTTP_PORT@": self.http_port,
            "@RTP_START@": rtp_start,
            "@RTP_END@": rtp_start + RTP_PORTS - 1,
        }
        for template in sorted((HERE / "etc").glob("*.conf")):
            text = template.read_text()
            for name, value in values.items():
                text = text.replace(name, str(value))
            (self.folder / "etc" / template.name).write_text(text)
