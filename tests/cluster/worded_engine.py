"""An engine that says the words of the cluster's pages. As a replica: python -m tests.cluster.worded_engine engine"""

from __future__ import annotations

import os
import sys

from engine.speech import Pcm
from tests.cluster.words import levels
from tests.support.counting_engine import PACE_VARIABLE, WORD_SAMPLES, CountingEngine


class WordedEngine(CountingEngine):
    """Says each word at a level of its own, in whatever sentence it is."""

    def sound(self, sentence: str) -> Pcm:
        return levels(sentence, WORD_SAMPLES)


def main() -> int:
    """Runs `talkspurt engine` with this engine."""
    from bridge.__main__ import main as talkspurt
    from bridge.commands import engine as command

    pace_s = float(os.environ.get(PACE_VARIABLE, "0"))
    command.create_lone_engine = lambda *_: WordedEngine(pace_s)  # type: ignore[assignment]
    return talkspurt(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
