"""What a harness needs to be run: branches that are counted, its seeds in the corpus, and libFuzzer."""

from __future__ import annotations

import hashlib
import logging
import sys
import warnings
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import structlog

from fuzz.json_mutator import mutated_json

Check = Callable[[bytes], None]
"""It raises for an input with which the product does not do what it must."""


def instrumented(name: str, *packages: str) -> AbstractContextManager[None]:
    """Has the branches of these packages counted as they are imported, where the module of this name is run.

    A harness that a test imports leaves them as they are.
    """
    if name != "__main__":
        return nullcontext()
    import atheris

    counted: AbstractContextManager[None] = atheris.instrument_imports(
        include=list(packages), enable_loader_override=False
    )
    return counted


def fuzz(check: Check, seeds: Iterable[bytes], *, is_json: bool = False) -> None:
    """Runs a harness by libFuzzer's arguments on the command line. The seeds go into the corpus that they name.

    `is_json` tells that lines of JSON follow an input's first byte.
    """
    import atheris

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        changed = mutated_json(data, seed) if seed % 4 else None
        mutated: bytes = changed if changed is not None else atheris.Mutate(data, max_size)
        return mutated[:max_size]

    warnings.simplefilter("ignore")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    corpora = [Path(argument) for argument in sys.argv[1:] if not argument.startswith("-")]
    if corpora and corpora[0].is_dir():
        add_seeds(corpora[0], seeds)
    atheris.Setup(sys.argv, check, **({"custom_mutator": mutate} if is_json else {}))
    atheris.Fuzz()


def add_seeds(corpus: Path, seeds: Iterable[bytes]) -> None:
    """Writes the seeds that are not in a corpus yet, by libFuzzer's own names."""
    for seed in seeds:
        (corpus / hashlib.sha1(seed, usedforsecurity=False).hexdigest()).write_bytes(seed)
