"""`talkspurt engine` as a process of its own, with an engine whose words can be counted, or with a real one."""

from __future__ import annotations

from pathlib import Path

from engine.replicas.address import Address
from tests.support.lasting_port import lasting_port
from tests.support.own_process import OwnProcess

COUNTING = "tests.support.counting_engine"


class ReplicaProcess(OwnProcess):
    """One replica."""

    def __init__(self, folder: Path, name: str, *, module: str = COUNTING, **settings: str) -> None:
        super().__init__(folder, name, module=module, command="engine", **settings)
        self.port = lasting_port()

    def _places(self) -> dict[str, str]:
        return {"ENGINE_PORT": str(self.port)}

    @property
    def address(self) -> Address:
        return Address("127.0.0.1", self.port, tls=False)
