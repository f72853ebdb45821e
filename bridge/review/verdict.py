"""Shows the interaction measures of recorded calls: as a table for the terminal, and as figures. No I/O."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from bridge.dial.table import aligned
from bridge.interaction.measures import DEAD_AIR_S, ActKind, Measures, Share

NAMES: Final = {ActKind.BACKCHANNEL: "mm-hm", ActKind.VOCAL_TIC: "coughs", ActKind.SIDE_TALK: "side talk"}


def table(measures: Measures, calls: int) -> str:
    """Returns the measures, each with how much stands behind it."""
    silences_s = measures.dead_air_s
    rows = [
        (f"{calls} call{'s' if calls != 1 else ''}, {measures.duration_s / 60:.1f} minutes", "", "n"),
        ("response latency, mean", _seconds(measures.response_s), str(len(measures.response_s))),
        ("response latency, p50 / p95", _spread(measures.response_s), ""),
        ("response rate", *_rate(measures.answered)),
        ("yield latency, mean", _seconds(measures.yield_s), str(len(measures.yield_s))),
        ("yield latency, p50 / p95", _spread(measures.yield_s), ""),
        ("yield rate, within 2 s", *_rate(measures.yielded)),
        ("agent interruptions for each turn", *_rate(measures.agent_interruptions)),
        *((f"selectivity: {NAMES[kind]}", *_rate(share)) for kind, share in measures.selective.items()),
        ("talk-over, share of the time", _part(measures.talk_over_s, measures.duration_s), ""),
        ("dead air, share of the time", _part(sum(silences_s), measures.duration_s), str(len(silences_s))),
        ("dead air, longest", f"{max(silences_s, default=0.0):.2f} s", ""),
        (f"silences of more than {DEAD_AIR_S:g} s", str(measures.long_silences), ""),
    ]
    return aligned(rows)


def figures(measures: Measures) -> dict[str, Any]:
    """Returns the measures under tau-voice's names, null where nothing was counted, with the counts behind them."""
    total_s = sum(measures.dead_air_s)
    return {
        "response_latency_mean": _mean(measures.response_s),
        "yield_latency_mean": _mean(measures.yield_s),
        "response_rate": _number(measures.answered.rate),
        "yield_rate": _number(measures.yielded.rate),
        "agent_interruption_rate": _number(measures.agent_interruptions.rate),
        "selectivity_backchannel": _number(measures.selective[ActKind.BACKCHANNEL].rate),
        "selectivity_vocal_tic": _number(measures.selective[ActKind.VOCAL_TIC].rate),
        "selectivity_non_directed": _number(measures.selective[ActKind.SIDE_TALK].rate),
        "talk_over_total_s": round(measures.talk_over_s, 3),
        "dead_air_total_s": round(total_s, 3),
        "dead_air_fraction": _number(total_s / measures.duration_s if measures.duration_s else math.nan),
        "dead_air_max_gap_s": round(max(measures.dead_air_s, default=0.0), 3),
        "dead_air_long_gap_count": measures.long_silences,
        "duration_s": round(measures.duration_s, 3),
        "counts": {
            "response_total": measures.answered.count,
            "yield_total": measures.yielded.count,
            "turns": measures.agent_interruptions.count,
            "backchannel": measures.selective[ActKind.BACKCHANNEL].count,
            "vocal_tic": measures.selective[ActKind.VOCAL_TIC].count,
            "non_directed": measures.selective[ActKind.SIDE_TALK].count,
        },
    }


def _rate(share: Share) -> tuple[str, str]:
    return (f"{share.rate:.2f}" if share.count else "–"), str(share.count)


def _seconds(values_s: list[float]) -> str:
    return f"{np.mean(values_s):.2f} s" if values_s else "–"


def _spread(values_s: list[float]) -> str:
    if not values_s:
        return "–"
    p50, p95 = np.quantile(values_s, (0.5, 0.95), method="inverted_cdf")
    return f"{p50:.2f} / {p95:.2f} s"


def _part(part_s: float, whole_s: float) -> str:
    return f"{100 * part_s / whole_s:.1f} %" if whole_s else "–"


def _mean(values_s: list[float]) -> float | None:
    return round(float(np.mean(values_s)), 4) if values_s else None


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 4)
