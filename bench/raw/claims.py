"""What was claimed or wanted of the client, held against what was measured here: reached, not reached, or undecided.

A claim is decided when the whole 95 % interval lies on one side of its limit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from bench.raw.contenders import (
    COLUMNAR,
    CONSUME,
    CONSUMER_PERFORMANCE,
    KEYED,
    PRODUCE_BATCH,
    PRODUCER_AS_IT_COMES,
    PRODUCER_PERFORMANCE,
    PRODUCER_WARM,
)
from bench.raw.intervals import Interval, interval, ratio

Verdict = Literal["reached", "not reached", "undecided", "not measured"]
Figures = Mapping[str, Mapping[str, Sequence[float]]]
"""Cell → contender → its figures by round."""


@dataclass(frozen=True, slots=True)
class Claim:
    """`unit` is `records/s`, or `times` for a ratio of ours to `over`."""

    sentence: str
    cell: str
    ours: str
    over: str | None
    limit: float

    @property
    def unit(self) -> str:
        """What limit and measurement are counted in."""
        return "records/s" if self.over is None else "times"


CLAIMS: Final = (
    Claim("over 1 million records a second produced", "produce", COLUMNAR, None, 1e6),
    Claim("over 3 million records a second consumed", "consume", COLUMNAR, None, 3e6),
    Claim("produce at 3 times ProducerPerformance", "produce", COLUMNAR, PRODUCER_PERFORMANCE, 3.0),
    Claim("produce at 3 times ProducerPerformance once it is warm", "produce", COLUMNAR, PRODUCER_WARM, 3.0),
    Claim("produce at 3 times ProducerPerformance as it comes", "produce", COLUMNAR, PRODUCER_AS_IT_COMES, 3.0),
    Claim("produce at 1.5 times produce_batch", "produce", COLUMNAR, PRODUCE_BATCH, 1.5),
    Claim("produce with keys at 0.8 of without", "produce", KEYED, COLUMNAR, 0.8),
    Claim("consume at 1.2 times ConsumerPerformance", "consume", COLUMNAR, CONSUMER_PERFORMANCE, 1.2),
    Claim("consume at 3 times consume(10 000)", "consume", COLUMNAR, CONSUME, 3.0),
)


@dataclass(frozen=True, slots=True)
class Held:
    """A claim with what was measured of it, None where its cell or one of its contenders was left out."""

    claim: Claim
    measured: Interval | None
    verdict: Verdict


def held(figures: Figures, *, seed: int) -> list[Held]:
    """Every claim against `figures`; none of a sketch, which is too short for what it measures to be warm."""
    return [_held(claim, figures.get(claim.cell, {}), seed=seed) for claim in CLAIMS]


def _held(claim: Claim, figures: Mapping[str, Sequence[float]], *, seed: int) -> Held:
    if claim.ours not in figures or (claim.over is not None and claim.over not in figures):
        return Held(claim, None, "not measured")
    mine = figures[claim.ours]
    measured = interval(mine, seed=seed) if claim.over is None else ratio(mine, figures[claim.over], seed=seed)
    return Held(claim, measured, verdict(measured, claim.limit))


def verdict(measured: Interval, limit: float) -> Verdict:
    """`undecided` where the limit lies inside the interval."""
    if measured.low >= limit:
        return "reached"
    return "not reached" if measured.high < limit else "undecided"
