"""`python -m fuzz.seed_corpora FOLDER`: writes the seeds of each harness into a zip file, as OSS-Fuzz wants them."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from zipfile import ZipFile

from fuzz.campaign import harnesses


def main() -> None:
    for name in harnesses():
        with ZipFile(Path(sys.argv[1]) / f"fuzz_{name}_seed_corpus.zip", "w") as corpus:
            for number, seed in enumerate(import_module(f"fuzz.fuzz_{name}").SEEDS):
                corpus.writestr(str(number), seed)


if __name__ == "__main__":
    main()
