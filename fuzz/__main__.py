"""`python -m fuzz`: runs every harness for some seconds, counts its inputs, and keeps what it finds."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

from fuzz.campaign import Campaign, harnesses

FOLDER: Final = Path(__file__).parents[1] / ".cache" / "fuzz"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(harnesses())}; all of them if none")
    parser.add_argument("--seconds", type=int, default=60, help="how long each runs (default: %(default)s)")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="the corpora and what was found (%(default)s)")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(harnesses()):
        parser.error(f"there is no harness {', '.join(sorted(unknown))}")
    campaign, failed = Campaign(arguments.folder), False
    print(f"{'harness':20}{'inputs':>12}{'a second':>10}{'in all runs':>14}", flush=True)
    for name in arguments.names or harnesses():
        run = campaign.run(f"fuzz.fuzz_{name}", arguments.seconds)
        total = campaign.count(name, run.inputs)
        print(f"{name:20}{run.inputs:12,}{run.inputs / run.seconds:10,.0f}{total:14,}", flush=True)
        if run.failed:
            failed = True
            print(f"{run.output}\n{name}: found by {run.found or 'no input: it did not run'}", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
