"""HAProxy with the configuration that is shipped, on loopback, and its runtime API."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from tests.support.debian_package import installed
from tests.support.lasting_port import lasting_port

SHIPPED = Path(__file__).parents[2] / "docs/cluster/haproxy.cfg"
START_TIMEOUT_S = 20


class HaproxyServer:
    """One proxy before bridges, each with its name and its HTTP and AudioSocket ports."""

    def __init__(
        self, folder: Path, bridges: Mapping[str, tuple[int, int]], *, check_timeout_s: int | None = None
    ) -> None:
        """`check_timeout_s` is how long a bridge may take to answer a check, where it is not as shipped."""
        self._program = installed("haproxy", "haproxy")
        self.http_port, self.audiosocket_port = lasting_port(), lasting_port()
        self._admin = folder / "admin.sock"
        self._file = folder / "haproxy.cfg"
        text = SHIPPED.read_text()
        if check_timeout_s is not None:
            text = text.replace("defaults\n", f"defaults\n    timeout check {check_timeout_s}s\n", 1)
        self._file.write_text(self._here(text, bridges))
        self._process: subprocess.Popen[bytes] | None = None

    def _here(self, text: str, bridges: Mapping[str, tuple[int, int]]) -> str:
        def server(line: re.Match[str]) -> str:
            name, port, rest = line.groups()
            if name not in bridges:
                return ""
            http, audiosocket = bridges[name]
            at = audiosocket if port == "9092" else http
            return f"    server {name} 127.0.0.1:{at}{rest.replace('port 8000', f'port {http}')}\n"

        text = re.sub(r"    server (\w+) [\d.]+:(\d+)(.*)\n", server, text)
        text = text.replace("bind :9092", f"bind 127.0.0.1:{self.audiosocket_port}")
        text = text.replace("bind :8000", f"bind 127.0.0.1:{self.http_port}")
        return text.replace("    stats socket /run/haproxy/admin.sock", f"    stats socket {self._admin}")

    def start(self) -> None:
        """Starts it, and waits until it listens."""
        subprocess.run([self._program, "-c", "-f", str(self._file)], check=True, capture_output=True)
        self._process = subprocess.Popen([self._program, "-db", "-f", str(self._file)], stderr=subprocess.DEVNULL)
        until_s = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < until_s:
            if self.listens:
                return
            time.sleep(0.02)
        raise AssertionError("HAProxy did not start")

    @property
    def listens(self) -> bool:
        """Tells whether it takes connections: one that was told to end keeps those it has, and takes none."""
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.http_port)) == 0

    def tell(self, command: str) -> str:
        """Gives a command to the runtime API and returns the answer."""
        with socket.socket(socket.AF_UNIX) as admin:
            admin.connect(str(self._admin))
            admin.sendall(f"{command}\n".encode())
            return admin.makefile().read()

    def drain(self, name: str) -> None:
        """Gives this bridge nothing new, as docs/cluster/haproxy.cfg says."""
        self._set_state(name, "drain")

    def take_back(self, name: str) -> None:
        """Gives this bridge calls again."""
        self._set_state(name, "ready")

    def states(self) -> dict[str, str]:
        """Returns how it finds each server, such as UP or DOWN, by backend and name."""
        head, *rows = self.tell("show stat").lstrip("# ").splitlines()
        columns = head.split(",")
        told = [dict(zip(columns, row.split(","), strict=False)) for row in rows if row]
        servers = [row for row in told if row["svname"] not in ("FRONTEND", "BACKEND")]
        return {f"{row['pxname']}/{row['svname']}": row["status"] for row in servers}

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _set_state(self, name: str, state: str) -> None:
        for backend in ("audiosocket", "http"):
            assert self.tell(f"set server {backend}/{name} state {state}").strip() == ""
