"""Draws one call: the level of what comes from the caller's side, and of what is left of it, over time."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.echo_calls import RATE_HZ, EchoCall, Layer, cleaned
from engine.speech import Pcm

WINDOW_MS = 60


def plot(call: EchoCall, path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(11, 4))
    for begin, end in call.answers:
        axes.axvspan(
            begin / RATE_HZ,
            end / RATE_HZ,
            color="0.93",
            label="the agent speaks" if begin == call.answers[0][0] else None,
        )
    for begin, end in call.barge_ins:
        axes.axvspan(
            begin / RATE_HZ,
            end / RATE_HZ,
            color="tab:green",
            alpha=0.25,
            label="the caller speaks" if begin == call.barge_ins[0][0] else None,
        )
    for name, track, colour in (
        ("from the caller's side", call.heard, "tab:red"),
        ("after the filter", cleaned(call, Layer.FILTER)[0], "tab:orange"),
        ("after filter and gate", cleaned(call, Layer.BOTH)[0], "tab:blue"),
    ):
        levels = _levels_dbfs(track)
        axes.plot(np.arange(len(levels)) * WINDOW_MS / 1000, levels, color=colour, linewidth=0.9, label=name)
    axes.set(xlabel="seconds", ylabel="dBFS", ylim=(-85, -5), xlim=(0, len(call.heard) / RATE_HZ))
    axes.legend(loc="lower center", ncols=5, fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=90)


def _levels_dbfs(track: Pcm) -> np.ndarray:
    samples = WINDOW_MS * RATE_HZ // 1000
    windows = track[: len(track) // samples * samples].astype(np.float64).reshape(-1, samples) / 32768
    levels = 10 * np.log10(np.mean(windows**2, axis=1) + 1e-12)
    return np.where(levels < -82, np.nan, levels)
