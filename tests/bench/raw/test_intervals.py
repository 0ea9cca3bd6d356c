"""A ratio is taken inside each round, and an interval says how far the rounds disagree."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.raw.claims import CLAIMS, held, verdict
from bench.raw.contenders import COLUMNAR, PRODUCE_BATCH
from bench.raw.intervals import Interval, interval, ratio

FIGURES = st.floats(min_value=1, max_value=1e7)


@given(st.lists(FIGURES, min_size=1, max_size=9))
def test_the_median_lies_inside_its_interval_and_that_inside_the_samples(samples: list[float]) -> None:
    found = interval(samples, seed=1)
    assert min(samples) <= found.low <= found.median <= found.high <= max(samples)
    assert found.count == len(samples)
    assert interval(samples, seed=1) == found


@given(st.lists(st.tuples(FIGURES, st.floats(min_value=0.1, max_value=10)), min_size=1, max_size=9))
def test_a_slow_round_that_slows_both_changes_no_ratio(rounds: list[tuple[float, float]]) -> None:
    found = ratio([3 * rate * slow for rate, slow in rounds], [rate * slow for rate, slow in rounds], seed=2)
    assert found.low == pytest.approx(3)
    assert found.high == pytest.approx(3)


def test_rounds_that_do_not_pair_and_no_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="2 rounds do not pair with 1"):
        ratio([1.0, 2.0], [1.0], seed=1)
    with pytest.raises(ValueError, match="no samples"):
        interval([], seed=1)


def test_a_claim_is_decided_only_by_a_whole_interval() -> None:
    assert verdict(Interval(3.2, 3.0, 3.4, 5), 3.0) == "reached"
    assert verdict(Interval(2.8, 2.7, 2.9, 5), 3.0) == "not reached"
    assert verdict(Interval(3.1, 2.9, 3.3, 5), 3.0) == "undecided"


def test_claims_are_held_against_the_cells_that_were_measured() -> None:
    figures = {"produce": {COLUMNAR: [2e6, 2.1e6, 2.2e6], PRODUCE_BATCH: [1e6, 1e6, 1e6]}}
    found = {one.claim.sentence: one for one in held(figures, seed=1)}
    assert len(found) == len(CLAIMS)
    assert found["over 1 million records a second produced"].verdict == "reached"
    assert found["produce at 1.5 times produce_batch"].measured == Interval(2.1, 2.0, 2.2, 3)
    assert found["over 3 million records a second consumed"].verdict == "not measured"
    assert found["produce at 3 times ProducerPerformance"].measured is None
