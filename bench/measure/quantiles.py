"""Exact quantiles with their sample counts; a quantile that fewer than 100 samples exceed is not stated.

Ranks are integers (nearest rank: the smallest value that at least q of the samples do not exceed), so no figure depends
on how a float rounds. Quantiles are counted in ten-thousandths: p99.9 is 9990.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]

QUANTILES: Final = {"p50": 5000, "p90": 9000, "p99": 9900, "p99_9": 9990, "p99_99": 9999}
SAMPLES_ABOVE_MIN: Final = 100
CURVE_POINTS: Final = 72
CURVE_BEGIN: Final = -np.log10(0.9)
"""A curve begins at p10: what lies below says more about the clock than about the system."""


def rank(count: int, ten_thousandths: int) -> int:
    """The 1-based position of a quantile among `count` sorted samples."""
    return max(1, -(-count * ten_thousandths // 10_000))


def is_carried(count: int, ten_thousandths: int) -> bool:
    """Whether at least 100 of `count` samples lie above the quantile."""
    return count - rank(count, ten_thousandths) >= SAMPLES_ABOVE_MIN


def samples_needed(ten_thousandths: int) -> int:
    """How many samples carry the quantile: 200 for p50, 10,000 for p99, 1,000,000 for p99.99."""
    return -(-SAMPLES_ABOVE_MIN * 10_000 // (10_000 - ten_thousandths))


def quantile(values: Floats, ten_thousandths: int) -> float | None:
    """One quantile of unsorted values, or None where the samples do not carry it."""
    if not is_carried(values.size, ten_thousandths):
        return None
    index = rank(values.size, ten_thousandths) - 1
    return float(np.partition(values, index)[index])


def distribution(values: Floats, *, censored: Floats | None = None) -> dict[str, Any]:
    """Figures of samples and right-censored ones: `{"count", "p50", …, "max", "censored", "negative", "lower_bounds"}`.

    A censored sample stands for "at least this long" and is never dropped; the quantiles that reach into them are named
    in `lower_bounds`. Negative durations (clocks that disagree) stay in and are counted.
    """
    late = np.empty(0) if censored is None else censored
    ordered = np.sort(np.concatenate([values, late]))
    count = int(ordered.size)
    figures: dict[str, Any] = {"count": count}
    for name, part in QUANTILES.items():
        figures[name] = float(ordered[rank(count, part) - 1]) if is_carried(count, part) else None
    figures["max"] = float(ordered[-1]) if count else None
    figures["censored"] = int(late.size)
    figures["negative"] = int(np.searchsorted(ordered, 0.0, side="left"))
    doubtful = float(late.min()) if late.size else np.inf
    bounds = (*QUANTILES, "max")
    figures["lower_bounds"] = [name for name in bounds if figures[name] is not None and figures[name] >= doubtful]
    return figures


def weighted_distribution(values: Floats, weights: Integers) -> dict[str, Any]:
    """The same of values that stand for `weights` samples each (a batch's time, once for every record in it)."""
    order = np.argsort(values, kind="stable")
    ordered, below = values[order], np.cumsum(weights[order])
    count = int(below[-1]) if below.size else 0
    figures: dict[str, Any] = {"count": count}
    for name, part in QUANTILES.items():
        at = int(np.searchsorted(below, rank(count, part)))
        figures[name] = float(ordered[at]) if is_carried(count, part) else None
    figures["max"] = float(ordered[-1]) if count else None
    figures["mean"] = float(values @ weights / count) if count else None
    figures["total_s"] = float(values.sum() / 1000)
    return figures


def curve(values: Floats, *, censored: Floats | None = None) -> dict[str, list[float]]:
    """`{"quantile": […], "ms": […]}`, evenly spaced in log 1 / (1 - q), up to the last quantile that is carried."""
    ordered = np.sort(values if censored is None else np.concatenate([values, censored]))
    if ordered.size < 2 * SAMPLES_ABOVE_MIN:
        return {"quantile": [], "ms": []}
    tail = np.logspace(CURVE_BEGIN, np.log10(ordered.size / SAMPLES_ABOVE_MIN), CURVE_POINTS)
    quantiles = 1 - 1 / tail
    at = np.clip(np.ceil(quantiles * ordered.size).astype(np.int64) - 1, 0, ordered.size - 1)
    return {"quantile": [round(float(q), 6) for q in quantiles], "ms": [round(float(ms), 4) for ms in ordered[at]]}
