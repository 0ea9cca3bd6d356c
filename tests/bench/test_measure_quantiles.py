"""Quantiles are exact, and none is stated that fewer than 100 samples exceed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.measure.quantiles import (
    QUANTILES,
    curve,
    distribution,
    is_carried,
    quantile,
    samples_needed,
    weighted_distribution,
)


@pytest.mark.parametrize(("name", "needed"), [("p50", 200), ("p90", 1_000), ("p99", 10_000), ("p99_9", 100_000)])
def test_a_quantile_is_stated_from_its_hundredth_sample_above_on(name: str, needed: int) -> None:
    assert samples_needed(QUANTILES[name]) == needed
    assert distribution(np.arange(needed, dtype=np.float64))[name] is not None
    assert distribution(np.arange(needed - 1, dtype=np.float64))[name] is None


def test_no_samples_give_no_figures() -> None:
    figures = distribution(np.empty(0))
    assert figures["count"] == 0
    assert figures["p50"] is figures["max"] is None


@given(st.integers(1, 3_000), st.sampled_from(sorted(QUANTILES.values())))
def test_a_stated_quantile_has_its_share_at_or_below_and_a_hundred_above(count: int, part: int) -> None:
    values = np.random.default_rng(count).permutation(count).astype(np.float64)
    stated = quantile(values, part)
    assert (stated is not None) == is_carried(count, part)
    if stated is not None:
        assert int((values <= stated).sum()) * 10_000 >= count * part
        assert int((values > stated).sum()) >= 100


def test_unfinished_operations_raise_the_quantiles_and_are_named_as_lower_bounds() -> None:
    quick = np.full(9_000, 1.0)
    figures = distribution(quick, censored=np.full(1_000, 500.0))
    assert figures["count"] == 10_000
    assert figures["censored"] == 1_000
    assert figures["p50"] == 1.0
    assert figures["p99"] == 500.0
    assert figures["lower_bounds"] == ["p99", "max"]


def test_negative_latencies_are_counted_not_dropped() -> None:
    figures = distribution(np.array([-1.0, 2.0, 3.0]))
    assert (figures["count"], figures["negative"], figures["max"]) == (3, 1, 3.0)


@given(st.lists(st.tuples(st.floats(0, 1e6), st.integers(1, 40)), min_size=1, max_size=60))
def test_weights_mean_the_same_as_repeated_samples(rows: list[tuple[float, int]]) -> None:
    values, weights = np.array([row[0] for row in rows]), np.array([row[1] for row in rows], dtype=np.int64)
    weighted, plain = weighted_distribution(values, weights), distribution(np.repeat(values, weights))
    assert {name: weighted[name] for name in ("count", *QUANTILES, "max")} == {
        name: plain[name] for name in ("count", *QUANTILES, "max")
    }


def test_a_curve_ends_where_a_hundred_samples_are_left() -> None:
    drawn = curve(np.arange(10_000, dtype=np.float64))
    assert drawn["quantile"][-1] == pytest.approx(0.99)
    assert drawn["ms"][-1] == pytest.approx(9_899)
    assert drawn["ms"] == sorted(drawn["ms"])
    assert curve(np.arange(150, dtype=np.float64)) == {"quantile": [], "ms": []}
