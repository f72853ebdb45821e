"""The unit of a replica, as docs/scaling.md makes it of the server's, and the drop-in of one on a GPU."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "scaling.md").read_text()


def made_of(source: Path, target: str) -> list[str]:
    """The lines that the page's command makes of a file."""
    (options,) = re.findall(rf"^sed ((?:.*\\\n)*.*?) \S+ > \S*{re.escape(target)}$", PAGE, re.M)
    return subprocess.check_output(["sh", "-c", f'sed {options} "$0"', source], text=True).splitlines()


def test_it_differs_from_the_servers_in_what_it_runs_and_in_what_two_services_may_not_share():
    server = (ROOT / "packaging" / "talkspurt.service").read_text().splitlines()
    replica = made_of(ROOT / "packaging" / "talkspurt.service", "talkspurt-engine.service")
    assert [line for line in replica if line not in server] == [
        "RuntimeDirectory=talkspurt-engine",
        "EnvironmentFile=-/etc/talkspurt/engine.env",
        "ExecStart=/usr/lib/talkspurt/start engine",
    ]
    assert [line for line in server if line not in replica] == [
        "RuntimeDirectory=talkspurt",
        "Environment=RUN_DIR=/run/talkspurt",
        "EnvironmentFile=-/etc/talkspurt/talkspurt.env",
        "ExecStart=/usr/lib/talkspurt/start serve",
        "ExecReload=/usr/lib/talkspurt/start reload",
    ]


def test_on_a_gpu_it_runs_from_where_torch_is():
    lines = made_of(ROOT / "packaging" / "gpu.conf", "talkspurt-engine.service.d/gpu.conf")
    assert [line for line in lines if line.startswith("Exec")] == [
        "ExecStart=",
        "ExecStart=/opt/talkspurt/bin/talkspurt engine",
    ]
