"""How well English spelling carries the IPA: words of hibari's dictionary, respelled, as hibari itself reads them.

python -m benchmarks.respelling [--words 2000]
"""

from __future__ import annotations

import argparse
from random import Random

import jiwer
from hibari.g2p import G2P

from engine.hibari.synthesis import Synthesizer
from engine.ipa import STRESSES, can_be_said, sounds_of
from engine.respelling import respelled

MIN_CHARS = 4
SEED = 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--words", type=int, default=2_000)
    reader = Synthesizer()._hibari.g2p
    known = {word: ipa for word, ipa in reader.lexicon.golds.d.items() if word.isalpha() and len(word) >= MIN_CHARS}
    known = {word: ipa for word, ipa in known.items() if isinstance(ipa, str) and can_be_said(ipa)}
    words = Random(SEED).sample(sorted(known), parser.parse_args().words)
    meant = [_sounds(known[word]) for word in words]
    read = [_sounds(_read(reader, respelled(known[word]))) for word in words]
    whole = sum(one == other for one, other in zip(meant, read, strict=True)) / len(words)
    print(f"{len(words):,} words: {jiwer.wer(meant, read):.1%} of their sounds are read wrongly, {whole:.0%} are right")


def _read(reader: G2P, text: str) -> str:
    return "".join(token.phonemes or "" for token in reader.phonemize_tokens(reader.tokenize(text)))


def _sounds(ipa: str) -> str:
    """Returns the sounds with spaces between them, without stress."""
    return " ".join(sound for sound in sounds_of(ipa) if sound not in (*STRESSES, " "))


if __name__ == "__main__":
    main()
