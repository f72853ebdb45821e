"""`talkspurt reload`: a server that runs takes what is new, and no call notices.

Where program and settings are those that it runs with, it reads the file of AGENTS anew. Otherwise another server is
started, which takes over from it; the old one ends with its last call.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from typing import Final

from bridge.config import WrongSetting, load_settings
from engine.child import ROOT

SYSTEMD: Final = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "MAINPID")
"""What systemd tells this command, and not the server that it starts."""


def add_parser(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `talkspurt reload`."""
    parser = sub.add_parser("reload", help="have the server of RUN_DIR take a new version, settings or agents")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Returns 0 once what is new counts, 1 where all stays as it was, and 2 where a setting is wrong."""
    from bridge.workers.old_server import TakeOverFailed, fingerprint, greeting, program

    try:
        settings = load_settings()
    except WrongSetting as error:
        print(error, file=sys.stderr)
        return 2
    if settings.server.run_dir is None:
        print("RUN_DIR is not set: it is where the server that runs is found", file=sys.stderr)
        return 2
    try:
        found = greeting(settings.server.run_dir)
    except TakeOverFailed as error:
        print(error, file=sys.stderr)
        return 1
    if found is None:
        print(f"no server is found in RUN_DIR={settings.server.run_dir}", file=sys.stderr)
        return 1
    connection, told = found
    connection.close()
    if told["program"] == program() and told["settings"] == fingerprint(settings):
        os.kill(told["pid"], signal.SIGHUP)
        return 0
    if not start_another():
        print("the new server did not take over, its log says why; the one that runs goes on", file=sys.stderr)
        return 1
    return 0


def start_another() -> bool:
    """Starts a server that nobody waits for as a child, and tells whether it took over."""
    environment = {name: value for name, value in os.environ.items() if name not in SYSTEMD}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (ROOT, os.environ.get("PYTHONPATH"))))
    told, tells = os.pipe()
    # systemd is to be its parent, so that it hears of its end.
    command = ("setsid", "--fork", sys.executable, "-P", "-m", "bridge", "serve", "--ready-fd", str(tells))
    try:
        subprocess.run(command, env=environment, pass_fds=[tells], check=True)
    finally:
        os.close(tells)
    with open(told, "rb") as ready:
        return bool(ready.read())
