"""Every voice of the embedded engine, measured, and a page on which they are heard.

    pip install --no-deps speechmos distillmos xls-r-sqa resemblyzer webrtcvad-wheels praat-parselmouth
    python -m benchmarks.voice_quality [--page voices/] [--voices heart onyx]

The first command puts the networks beside the project's packages; their weights are inside. `--page` names a folder for
`index.html` and a sample of each voice. `benchmarks/voice_scores.py` says what the columns mean.
"""

from __future__ import annotations

import argparse
import html
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.hibari import SENTENCES
from benchmarks.machine import facts
from benchmarks.voice_scores import RATE_HZ, Scores, VoiceMeasure
from bridge.dial.table import aligned
from engine.audio import resample
from engine.encode import FORMATS, create_encoder
from engine.hibari.chunks import SAMPLE_RATE_HZ
from engine.hibari.messages import Speak
from engine.hibari.synthesis import Synthesizer
from engine.hibari.voices import VARIANTS
from engine.speech import Pcm

SAID: Final = SENTENCES[2::4]
HEARD: Final = f"{SENTENCES[0]} {SENTENCES[2]}"
"""What the page has each voice say."""
HEADINGS: Final = ("voice", "DistillMOS", "DNSMOS", "P.808", "pitch Hz", "formants Hz", "most like", "similarity")
PAGE: Final = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Voices</title>
<style>body{font:1rem/1.5 system-ui;margin:2rem}table{border-collapse:collapse}
td,th{padding:.2rem .8rem;text-align:left}tr:nth-child(even){background:#8881}</style><h1>Voices</h1>
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--page", type=Path, help="a folder for a page with a sample of each voice")
    parser.add_argument("--voices", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    args = parser.parse_args()
    synthesizer, measure = Synthesizer(), VoiceMeasure()
    scores: dict[str, Scores] = {}
    for voice in args.voices:
        lines = [resample(said(synthesizer, text, voice), SAMPLE_RATE_HZ, RATE_HZ) for text in SAID]
        scores[voice] = measure.scores(lines)
        print(voice, f"{scores[voice].distillmos:.2f}", flush=True)
    rows = [row(voice, scores) for voice in scores]
    print(aligned(facts()), aligned([HEADINGS, *rows]), sep="\n\n")
    if args.page is not None:
        write_page(args.page, synthesizer, rows)


def said(synthesizer: Synthesizer, text: str, voice: str) -> Pcm:
    """Returns a text in a voice, at the engine's rate."""
    return np.concatenate(list(synthesizer.speak(Speak(text, voice))))


def row(voice: str, scores: Mapping[str, Scores]) -> tuple[str, ...]:
    """Returns a voice's row of the table, with the other voice that is most like it."""
    own = scores[voice]
    others = {other: own.similarity(its) for other, its in scores.items() if other != voice}
    nearest = max(others, key=others.__getitem__, default="")
    return (
        voice,
        f"{own.distillmos:.2f}",
        f"{own.dnsmos:.2f}",
        f"{own.p808:.2f}",
        f"{own.pitch_hz:.0f}",
        " ".join(f"{formant:.0f}" for formant in own.formants_hz),
        nearest,
        f"{others[nearest]:.3f}" if nearest else "",
    )


def write_page(folder: Path, synthesizer: Synthesizer, rows: list[tuple[str, ...]]) -> None:
    """Writes a page that shows the table and plays each voice."""
    folder.mkdir(parents=True, exist_ok=True)
    page = f"{PAGE}<p>Each voice says: “{html.escape(HEARD)}”</p><table><tr>"
    page += "".join(f"<th>{heading}</th>" for heading in (*HEADINGS, "sample")) + "</tr>\n"
    for voice, *told in rows:
        encoder = create_encoder(FORMATS["mp3"], SAMPLE_RATE_HZ)
        sample = encoder.encode(said(synthesizer, HEARD, voice)) + encoder.finish()
        (folder / f"{voice}.mp3").write_bytes(sample)
        cells = "".join(f"<td>{html.escape(cell)}</td>" for cell in (voice, *told))
        page += f'<tr>{cells}<td><audio controls preload="none" src="{voice}.mp3"></audio></td></tr>\n'
    (folder / "index.html").write_text(page + "</table></html>\n", encoding="utf-8")
    print(f"\n{folder / 'index.html'}: {len(rows)} voices")


if __name__ == "__main__":
    main()
