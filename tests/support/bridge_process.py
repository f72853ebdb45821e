"""`talkspurt serve` as a process of its own."""

from __future__ import annotations

from pathlib import Path

from tests.support.lasting_port import lasting_port
from tests.support.own_process import OwnProcess


class BridgeProcess(OwnProcess):
    """One bridge, which comes back at the ports that it had."""

    def __init__(self, folder: Path, name: str, **settings: str) -> None:
        super().__init__(folder, name, module="bridge", command="serve", **settings)
        self.http_port, self.audiosocket_port = lasting_port(), lasting_port()

    def _places(self) -> dict[str, str]:
        return {"HTTP_PORT": str(self.http_port), "AUDIOSOCKET_PORT": str(self.audiosocket_port)}

    @property
    def http_url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"
