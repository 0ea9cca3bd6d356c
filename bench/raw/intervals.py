"""Medians with bootstrap intervals, and ratios that are paired by round.

Machines are shared: two contenders that ran one after the other saw the same neighbour, so a ratio is taken inside
each round and only then the median over rounds. The interval is the percentile bootstrap (Efron 1979) of that median,
from resampled rounds; with five rounds it is nearly their range, and says so by its width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

RESAMPLES: Final = 10_000
CONFIDENCE: Final = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """A median over `count` rounds with its 95 % interval."""

    median: float
    low: float
    high: float
    count: int


def interval(samples: Sequence[float], *, seed: int) -> Interval:
    """The median of `samples`, one a round, at least one; one sample alone is its own interval."""
    values = np.asarray(samples, np.float64)
    if values.size == 0:
        raise ValueError("no samples, no median")
    picked = np.random.default_rng(seed).integers(0, values.size, (RESAMPLES, values.size))
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(np.median(values[picked], axis=1), [tail, 100 - tail])
    return Interval(float(np.median(values)), float(low), float(high), values.size)


def ratio(numerators: Sequence[float], denominators: Sequence[float], *, seed: int) -> Interval:
    """The median of the rounds' own ratios. Raises ValueError where the rounds do not pair."""
    if len(numerators) != len(denominators):
        raise ValueError(f"{len(numerators)} rounds do not pair with {len(denominators)}")
    return interval([top / bottom for top, bottom in zip(numerators, denominators, strict=True)], seed=seed)
