"""The Debian package: looked at by lintian, installed on a Debian 12, called, upgraded in mid-call and purged."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.support import debian_machine
from tests.support.debian_machine import DebianMachine
from tests.support.lintian import Unavailable, lintian

PACKAGING = Path(__file__).parents[2] / "packaging"
pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the package is built by a .venv of Python 3.11"),
]
SETTINGS = """
ASR_PROTOCOL=embedded
RECORD_DIR=/var/lib/talkspurt/recordings
DRAIN_TIMEOUT=240
NO_INPUT_TIMEOUT_MS=0
GREETING="{greeting}"
"""
GREETING = "Welcome to the shop at the corner of the market. " * 60
"""It lasts longer than an upgrade takes on a busy machine."""
WALLS = """
import asyncio, io, os, wave
from engine.upload import read_upload

recording = io.BytesIO()
with wave.open(recording, "wb") as wav:
    wav.setparams((1, 2, 16_000, 0, "NONE", ""))
    wav.writeframes(bytes(range(250)) * 256)
voice = asyncio.run(read_upload(recording.getvalue(), min_s=1, max_s=60))
print("decoded", len(voice.pcm))
for path in ("/etc/x", "/usr/x", "/home/x", "/root/x", "/var/lib/x", "/var/lib/talkspurt/x"):
    try:
        open(path, "w").close()
        print("written", path)
    except OSError:
        pass
try:
    os.setpriority(os.PRIO_PROCESS, 0, -10)
    print("priority taken")
except OSError:
    pass
print("devices", *sorted(set(os.listdir("/dev")) & {"null", "kmsg", "mem", "vda", "sda"}))
"""
"""What a program of the service tries. An upload is decoded by a child process with limits of its own."""
CALL_FILE = """
from pathlib import Path
from uuid import UUID

from bridge.outbound.call_file import CallFile

file = CallFile(UUID(int=1), "Local/201@from-internal", "talkspurt,s,1")
file.place(Path("/var/spool/asterisk/outgoing"))
print("placed")
"""
READY_S = 180
ASK_EVERY_S = 0.1
CALL_S = 3


@pytest.fixture(scope="module")
def build_deb() -> Iterator[ModuleType]:
    """The module that builds, which lies outside the packages."""
    sys.path.insert(0, str(PACKAGING))
    yield importlib.import_module("build_deb")
    sys.path.remove(str(PACKAGING))


@pytest.fixture
def machine() -> Iterator[DebianMachine]:
    try:
        with DebianMachine() as booted:
            yield booted
    except debian_machine.Unavailable as reason:
        pytest.skip(f"no machine to install on: {reason}")


def test_lintian_finds_nothing(build_deb: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks at all that is the project's own. With the packages of others in it, it takes minutes."""
    monkeypatch.setattr(build_deb, "copy_run_time", lambda project, site: None)
    deb = build_deb.build(tmp_path, "1.2.3")
    try:
        done = lintian(deb)
    except Unavailable as reason:
        pytest.skip(f"no lintian: {reason}")
    found = [line for line in done.stdout.splitlines() if line[:2] in ("E:", "W:")]
    assert done.returncode == 0, done.stdout + done.stderr
    assert not found


def test_a_package_that_is_missing_is_named(build_deb: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    run_time = importlib.import_module("run_time")
    monkeypatch.setattr(run_time, "EXTRAS", ("gpu",))
    with pytest.raises(run_time.MissingPackage, match=r"torchaudio.* is not installed here: run `make` first"):
        run_time._closure(build_deb.PROJECT)


def test_from_its_installation_to_its_purge(build_deb: ModuleType, machine: DebianMachine, tmp_path: Path) -> None:
    quick = {"DPKG_DEB_COMPRESSOR_TYPE": "zstd", "DPKG_DEB_COMPRESSOR_LEVEL": "1"}
    environment = {**os.environ, **quick}
    command = [sys.executable, str(PACKAGING / "build_deb.py"), "--output", str(tmp_path), "--version", "1.2.3"]
    subprocess.run(command, env=environment, check=True)
    (deb,) = tmp_path.glob("*.deb")
    (machine.root / "root/talkspurt.deb").write_bytes(deb.read_bytes())
    before = machine.changes()

    machine.run("dpkg", "--install", "/root/talkspurt.deb")
    assert machine.run("talkspurt", "--version") == "talkspurt 1.2.3\n"
    machine.run("dpkg", "--verify", "talkspurt")
    modes = machine.run("stat", "-c", "%U:%G %a", "/etc/talkspurt/talkspurt.env", "/var/lib/talkspurt").split("\n")
    assert modes[:2] == ["root:talkspurt 640", "talkspurt:talkspurt 750"]
    assert machine.run("systemctl", "is-enabled", "talkspurt").strip() == "enabled"
    with open(machine.root / "etc/talkspurt/talkspurt.env", "a") as file:
        file.write(SETTINGS.format(greeting=GREETING))
    machine.run("systemctl", "restart", "talkspurt")

    takes_a_call(machine)
    is_shut_in(machine)
    hands_call_files_to_asterisk(machine)
    keeps_a_call_through_an_upgrade(machine)
    is_started_anew_when_it_hangs(machine)
    stays_down_with_a_wrong_setting(machine)

    machine.run("dpkg", "--remove", "talkspurt")
    assert (machine.root / "etc/talkspurt/talkspurt.env").exists()
    assert list((machine.root / "var/lib/talkspurt/recordings").glob("*.wav"))
    machine.run("dpkg", "--purge", "talkspurt")
    left = {path for path in machine.changes() - before if not path.startswith(("/var/log/", "/var/cache/", "/root"))}
    assert not {path for path in left if "talkspurt" in path and "/dpkg/" not in path}
    assert "talkspurt" not in (machine.root / "etc/passwd").read_text() + (machine.root / "etc/group").read_text()


def takes_a_call(machine: DebianMachine) -> None:
    """A caller hears the greeting, and the service works inside its walls: recogniser, recording, niceness."""
    wait_until_ready(machine)
    told = machine.run("talkspurt", "dial", "--seconds", str(CALL_S), "--json", check=False)
    assert json.loads(told)["first_voiced"], told
    (recording,) = (machine.root / "var/lib/talkspurt/recordings").glob("*.wav")
    assert recording.stat().st_size > 16_000 * CALL_S
    processes = machine.run("ps", "-u", "talkspurt", "-o", "ni=,args=")
    for niceness, command in ((-5, "talkspurt serve"), (10, "engine.hibari.worker"), (5, "recognition_worker whisper")):
        assert any(int(line.split()[0]) == niceness and command in line for line in processes.splitlines()), processes
    assert "Traceback" not in log_of(machine)


def is_shut_in(machine: DebianMachine) -> None:
    """A program behind the unit's walls decodes an upload, and writes, raises and sees nothing else."""
    assert behind_the_walls(machine, "walls", WALLS) == [
        "decoded 32000",
        "written /var/lib/talkspurt/x",
        "devices null",
    ]


def hands_call_files_to_asterisk(machine: DebianMachine) -> None:
    """With the lines of docs/operations.md, a call file comes to lie in Asterisk's folder, which may remove it."""
    machine.run("adduser", "--quiet", "--system", "--group", "--no-create-home", "asterisk")
    machine.run("install", "-d", "-o", "asterisk", "-g", "asterisk", "-m", "770", "/var/spool/asterisk/outgoing")
    page = (PACKAGING.parent / "docs/operations.md").read_text()
    (row,) = [line for line in page.splitlines() if line.startswith("| `OUTBOUND_SPOOL=")]
    lines = re.findall("`([A-Za-z]+=[^`]+)`", row.split("|")[2])
    assert len(lines) == 3, row
    assert behind_the_walls(machine, "caller", CALL_FILE, *lines) == ["placed"]
    name = "/var/spool/asterisk/outgoing/talkspurt-00000000-0000-0000-0000-000000000001.call"
    assert machine.run("stat", "-c", "%U:%G %a", name).split() == ["talkspurt:asterisk", "660"]
    as_asterisk = ("setpriv", "--reuid=asterisk", "--regid=asterisk", "--clear-groups", "sh", "-c")
    machine.run(*as_asterisk, f"echo >> {name} && rm {name}")


def behind_the_walls(machine: DebianMachine, name: str, text: str, *lines: str) -> list[str]:
    """Runs a program as the service is run, with some more lines in its unit; returns what it printed."""
    unit = (machine.root / "lib/systemd/system/talkspurt.service").read_text()
    unit = re.sub("(?m)^(Type|Restart|ExecStart|RuntimeDirectory)=.*\n", "", unit)
    program = f"/usr/lib/talkspurt/venv/bin/python3 -I /var/lib/talkspurt/{name}.py"
    unit = unit.replace("[Service]\n", f"[Service]\nType=oneshot\nExecStart={program}\n")
    unit = unit.replace("[Install]", "\n".join((*lines, "[Install]")))
    (machine.root / f"run/systemd/system/{name}.service").write_text(unit)
    (machine.root / f"var/lib/talkspurt/{name}.py").write_text(text)
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "start", name, check=False)
    told = machine.run("journalctl", f"--unit={name}", "--output=cat", "--no-pager").splitlines()
    return [line for line in told if not line.startswith((f"{name}.service: ", "Start", "Finish"))]


def keeps_a_call_through_an_upgrade(machine: DebianMachine) -> None:
    """The package is installed once more while somebody is spoken to: a new server takes the new calls.

    Every file is replaced. The old server has files and processes of its own until its last call has ended, and nobody
    waits for that. (To build the package with another version would take minutes.)
    """
    (machine.root / "usr/bin/py3compile").unlink()  # it would take long, and what is here is not compiled once more
    old, old_copy, started = main_pid(machine), copy_of(machine), log_of(machine).count(" call started ")
    enter = ["nsenter", f"--target={machine.pid}", "--mount", "--pid", "--net", "--root", "--wd"]
    with subprocess.Popen([*enter, "talkspurt", "dial", "--seconds", "600"], stdout=subprocess.DEVNULL) as caller:
        until(machine, lambda: log_of(machine).count(" call started ") > started)
        machine.run("dpkg", "--install", "/root/talkspurt.deb")
        until(machine, lambda: main_pid(machine) not in (old, 0))
        wait_until_ready(machine)
        assert copy_of(machine) != old_copy
        told = json.loads(machine.run("talkspurt", "dial", "--seconds", str(CALL_S), "--json", check=False))
        assert told["first_voiced"], told
        assert caller.poll() is None, "the call goes on"
        assert (machine.root / "usr/lib/talkspurt" / old_copy / "bin/talkspurt").exists(), "what it runs from stays"
        machine.run("pkill", "-f", "dial --seconds 600")
    until(machine, lambda: not (machine.root / "usr/lib/talkspurt" / old_copy).exists())
    assert machine.run("ps", "-o", "pid=", "-p", str(old), check=False) == "", "it ended with its last call"
    assert "Traceback" not in log_of(machine)


def copy_of(machine: DebianMachine) -> str:
    """The copy of the program from which a server is started now."""
    return machine.run("readlink", "/usr/lib/talkspurt/current").strip()


def is_started_anew_when_it_hangs(machine: DebianMachine) -> None:
    old = main_pid(machine)
    machine.run("kill", "-STOP", str(old))
    until(machine, lambda: main_pid(machine) not in (old, 0))
    wait_until_ready(machine)


def stays_down_with_a_wrong_setting(machine: DebianMachine) -> None:
    settings = machine.root / "etc/talkspurt/talkspurt.env"
    settings.write_text(settings.read_text() + "MAX_CALLS=many\n")
    machine.run("systemctl", "restart", "talkspurt", check=False)
    until(machine, lambda: machine.run("systemctl", "is-active", "talkspurt", check=False).strip() == "failed")
    assert "MAX_CALLS='many': must be a valid integer" in log_of(machine)


def main_pid(machine: DebianMachine) -> int:
    return int(machine.run("systemctl", "show", "--property=MainPID", "--value", "talkspurt"))


def log_of(machine: DebianMachine, since: int | None = None) -> str:
    """The journal of the service, or of one of its processes."""
    which = ["--unit=talkspurt"] if since is None else [f"_PID={since}"]
    return machine.run("journalctl", *which, "--no-pager", "--output=cat")


def wait_until_ready(machine: DebianMachine) -> None:
    until(machine, lambda: " ready " in log_of(machine, since=main_pid(machine)))


def until(machine: DebianMachine, is_so: Callable[[], bool]) -> None:
    """Asks until the answer is yes: systemd has no word for those who wait outside its machine."""
    until_s = time.monotonic() + READY_S
    while not is_so():
        assert time.monotonic() < until_s, log_of(machine)
        time.sleep(ASK_EVERY_S)
