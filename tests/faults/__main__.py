"""Tries every fault and prints what its caller hears: python -m tests.faults [--write] [WORDS OF A FAULT'S NAME]

With --write the table goes into docs/reliability.md.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from pathlib import Path

from tests.faults.catalog import FAULTS
from tests.faults.simulated import try_fault
from tests.faults.table import PAGE, row, write
from tests.faults.wire import TRUSTED, WireFault, WireSeen
from tests.faults.wire import try_all as try_on_the_wire
from tests.simulation.virtual_time import virtual_time


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"write the table into docs/{PAGE.name}")
    parser.add_argument("name", nargs="*", help="try only faults with these words in their names")
    options = parser.parse_args()
    wanted = " ".join(options.name)
    tried, problems = {}, 0
    with virtual_time():
        for fault in FAULTS:
            if wanted in f"{fault.neighbour} {fault.name}":
                tried[fault] = seen = try_fault(fault)
                print(row(fault, seen), *seen.problems, sep="\n  ", flush=True)
                problems += len(seen.problems)
    if options.write and not wanted:
        write(tried, _tried_on_the_wire())
    return 1 if problems else 0


def _tried_on_the_wire() -> dict[WireFault, WireSeen]:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SSL_CERT_FILE"] = f"{folder}/{TRUSTED}"  # it is trusted, but for its age
        return asyncio.run(try_on_the_wire(Path(folder)))


if __name__ == "__main__":
    sys.exit(main())
