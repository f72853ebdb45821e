"""The command `talkspurt judge`: measures how the agent takes turns in recorded calls."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bridge.interaction.measures import Measures


def add_parser(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `talkspurt judge`."""
    parser = sub.add_parser(
        "judge",
        help="measure how the agent takes turns in recorded calls",
        description="Reads recordings of calls (caller left, agent right), each with its journal where there is one, "
        "and prints tau-voice's interaction measures over all of them.",
    )
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="a sound file with two channels")
    parser.add_argument("--language", default="en", help="of listeners' noises such as mm-hm; default: %(default)s")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Prints the measures. Returns 1 where a file cannot be read."""
    from bridge.interaction.measures import Measures
    from bridge.journal.reading import WrongJournal
    from bridge.review.recorded_call import NoRecording
    from bridge.review.verdict import figures, table
    from bridge.turns.words import BACKCHANNELS

    if args.language not in BACKCHANNELS:
        known = ", ".join(sorted(BACKCHANNELS))
        print(f"talkspurt judge: no listener's noises are known in '{args.language}', but in {known}", file=sys.stderr)
        return 1
    total, calls = Measures(), 0
    for path in args.files:
        try:
            total.add(judged(path, args.language))
            calls += 1
        except (NoRecording, WrongJournal, OSError) as error:
            print(f"talkspurt judge: {error}", file=sys.stderr)
    if calls:
        print(json.dumps(figures(total), indent=2) if args.json else table(total, calls))
    return 0 if calls == len(args.files) else 1


def judged(path: Path, language: str = "en") -> Measures:
    """Returns the measures of one recording. Raises NoRecording, WrongJournal, OSError."""
    from bridge.interaction.measures import measure
    from bridge.review.caller_acts import agent_frames, caller_acts
    from bridge.review.recorded_call import NoRecording, load

    call = load(path)
    if not len(call.sound):
        raise NoRecording(f"{path}: there is no sound to judge")
    return measure(caller_acts(call, language), agent_frames(call), len(call.sound) / call.rate_hz)
