"""Makes a failing run smaller: fewer calls, faults and words, as long as it fails in the same way."""

from __future__ import annotations

import re
from collections.abc import Iterable

from tests.simulation.plan import Plan
from tests.simulation.run import Outcome, simulate


def kinds(problems: Iterable[str]) -> frozenset[str]:
    """Returns what is wrong, without where."""
    return frozenset(re.sub(r"^call\d+: ", "", problem).partition(":")[0] for problem in problems)


def shrink(failed: Outcome) -> Outcome:
    """Returns a run that fails in a way in which `failed` did, and that would not without any of its parts."""
    smallest, wanted = failed, kinds(failed.problems)
    names = list(failed.plan.names())
    while names:
        name = names.pop(0)
        if name not in smallest.plan.names():
            continue
        smaller = simulate(smallest.plan.without({name}))
        if kinds(smaller.problems) & wanted:
            smallest, names = smaller, list(smaller.plan.names())
    return smallest


def command(plan: Plan) -> str:
    """Returns the one command that repeats a run."""
    faults = f" --more-faults {plan.more_faults}" if plan.more_faults else ""
    without = f" --without {' '.join(plan.dropped)}" if plan.dropped else ""
    return f"python -m tests.simulation --seed {plan.seed}{faults}{without}"
