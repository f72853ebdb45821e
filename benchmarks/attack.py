"""Attacks on a server of ours, one after the other, and what ten callers beside each notice.

Prints Markdown for `docs/attacks.md`. Each attack has a server of its own on loopback, at its defaults; the callers
run in a process of their own. An attack ends by itself, and is stopped when the server has grown by 1 GiB.
"""

from __future__ import annotations

import argparse

import uvloop

from benchmarks.attacks.catalog import ATTACKS, NO_ATTACK
from benchmarks.attacks.measure import Result, measure
from benchmarks.machine import facts
from benchmarks.table import markdown

SECONDS = 5.0
MOST_SECONDS = 60.0
HEAD = (
    "attack",
    "missing frames",
    "longest gap, ms",
    "longest first sound, ms",
    "RSS before, MB",
    "peak, MB",
    "processor, s",
    "waited for a core",
    "answered",
)


def main() -> None:
    """Run the attacks asked for."""
    parser = argparse.ArgumentParser(prog="benchmarks.attack", description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", choices=[[], *ATTACKS], metavar="NAME", help=f"of: {', '.join(ATTACKS)}")
    parser.add_argument("--seconds", type=float, default=SECONDS, metavar="N", help="of each attack (default: 5)")
    args = parser.parse_args()
    if not 0 < args.seconds <= MOST_SECONDS:
        parser.error(f"--seconds must be above 0 and at most {MOST_SECONDS:.0f}")
    uvloop.run(run(args.names or list(ATTACKS), args.seconds))


async def run(names: list[str], seconds: float) -> None:
    """Attack, and print a row for each."""
    print(markdown([("machine", ""), *facts()]), end="\n\n")
    table = markdown([HEAD, HEAD]).splitlines()[:2]
    print("\n".join(table), flush=True)
    for attack in (NO_ATTACK, *(ATTACKS[name] for name in names)):
        print(f"| {' | '.join(row(await measure(attack, seconds)))} |", flush=True)


def row(result: Result) -> tuple[str, ...]:
    """A line of the table."""
    figures = result.figures
    return (
        result.name,
        f"{figures.missing:,} of {figures.expected:,} ({result.missing_share:.1%})",
        f"{figures.longest_gap_ms:,.0f}",
        f"{figures.first_sound_ms:,.0f}",
        f"{result.before_bytes / 1e6:,.0f}",
        f"{result.peak_bytes / 1e6:,.0f}",
        f"{result.cpu_s:.1f}",
        f"{result.waited_share:.1%}",
        ", ".join(f"{answer} × {times:,}" for answer, times in result.answers.most_common()) or "–",
    )


if __name__ == "__main__":
    main()
