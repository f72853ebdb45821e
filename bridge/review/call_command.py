"""The command `talkspurt call`: shows a recorded call as a table and as a picture."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path

from engine.extras import install


def add_parser(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `talkspurt call`."""
    parser = sub.add_parser(
        "call",
        help="show a recorded call as a table and as a picture",
        description="Reads a call's recording (WAV) and its journal (JSON lines), which lie beside one another in "
        "RECORD_DIR, prints what happened and where the time of each turn went, and draws it.",
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("file", type=Path, nargs="?", metavar="FILE", help="the WAV or the journal; the other is found")
    what.add_argument("--schema", action="store_true", help="print the JSON schema of a journal's lines instead")
    parser.add_argument("-o", "--output", type=Path, metavar="PNG", help="default: beside FILE, with its name")
    parser.add_argument("--no-picture", action="store_true", help="print the table alone")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Shows the call. Returns 1 where a file cannot be read or written, or the picture cannot be drawn."""
    from bridge.journal.reading import WrongJournal
    from bridge.journal.schema import PATH
    from bridge.review.recorded_call import NoRecording, load
    from bridge.review.table import table

    if args.schema:
        print(PATH.read_text(), end="")
        return 0
    try:
        call = load(args.file)
    except (NoRecording, WrongJournal, OSError) as error:
        return _fail(str(error))
    print(table(call))
    if args.no_picture:
        return 0
    if importlib.util.find_spec("matplotlib") is None:
        return _fail(f"the picture needs matplotlib: {install('demo')}")
    from bridge.review.picture import draw

    path = args.output or args.file.with_suffix(".png")
    try:
        draw(call, path)
    except OSError as error:
        return _fail(str(error))
    print(f"\n{path}")
    return 0


def _fail(reason: str) -> int:
    print(f"talkspurt call: {reason}", file=sys.stderr)
    return 1
