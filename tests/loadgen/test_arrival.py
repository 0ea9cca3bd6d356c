"""Schedules of intended times: what holds for every kind, rate and seed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.arrival import KINDS, operations_in, schedule

kinds = st.sampled_from(KINDS)
rates = st.floats(min_value=0.1, max_value=1e6)
counts = st.integers(min_value=1, max_value=3_000)
seeds = st.integers(min_value=0, max_value=2**63 - 1)


@given(kinds, rates, counts, seeds)
def test_every_schedule_rises_and_stays_within_its_duration(kind: str, rate: float, count: int, seed: int) -> None:
    times = schedule(kind, rate_per_s=rate, operations=count, seed=seed)
    assert times.dtype == np.int64
    assert len(times) == count
    assert times[0] >= 0
    assert (np.diff(times) >= 0).all()
    assert times[-1] <= count / rate * 1e9


@given(kinds, counts, seeds)
def test_the_same_seed_gives_the_same_schedule(kind: str, count: int, seed: int) -> None:
    first, second = (schedule(kind, rate_per_s=100.0, operations=count, seed=seed) for _ in range(2))
    assert (first == second).all()


def test_another_seed_gives_another_poisson_schedule() -> None:
    first, second = (schedule("poisson", rate_per_s=100.0, operations=100, seed=seed) for seed in (1, 2))
    assert (first != second).any()


@pytest.mark.parametrize("kind", KINDS)
def test_the_mean_rate_is_the_one_asked_for(kind: str) -> None:
    times = schedule(kind, rate_per_s=1_000.0, operations=100_000, seed=7)
    assert len(times) / (times[-1] / 1e9) == pytest.approx(1_000.0, rel=0.001)


def test_constant_arrivals_are_evenly_spaced() -> None:
    assert schedule("constant", rate_per_s=4.0, operations=4, seed=0).tolist() == [
        0,
        250_000_000,
        500_000_000,
        750_000_000,
    ]


def test_poisson_gaps_vary_as_an_exponential_does() -> None:
    gaps = np.diff(schedule("poisson", rate_per_s=1_000.0, operations=100_000, seed=3))
    assert np.std(gaps) / np.mean(gaps) == pytest.approx(1.0, abs=0.02)


def test_burst_offers_half_of_each_second_in_its_first_tenth() -> None:
    times_s = schedule("burst", rate_per_s=1_000.0, operations=20_000, seed=3) / 1e9
    assert np.mean(times_s % 1.0 < 0.1) == pytest.approx(0.5, abs=0.02)


def test_step_climbs_from_half_the_rate_to_one_and_a_half() -> None:
    times_s = schedule("step", rate_per_s=1_000.0, operations=100_000, seed=3) / 1e9
    counts, _ = np.histogram(times_s, bins=5, range=(0.0, 100.0))
    assert counts / 20_000 == pytest.approx([0.5, 0.75, 1.0, 1.25, 1.5], abs=0.03)


@pytest.mark.parametrize(
    ("kind", "rate", "operations", "names"),
    [
        ("sometimes", 1.0, 1, "constant, poisson, step, burst"),
        ("poisson", 0.0, 1, "above 0"),
        ("poisson", -1.0, 1, "above 0"),
        ("poisson", float("nan"), 1, "above 0"),
        ("poisson", 1.0, 0, "1 or more"),
    ],
)
def test_what_cannot_be_is_refused_with_what_can(kind: str, rate: float, operations: int, names: str) -> None:
    with pytest.raises(ValueError, match=names) as refusal:
        schedule(kind, rate_per_s=rate, operations=operations, seed=0)
    assert "\n" not in str(refusal.value)


def test_a_duration_holds_rate_times_seconds_and_at_least_one() -> None:
    assert operations_in(60.0, rate_per_s=500.0) == 30_000
    assert operations_in(0.001, rate_per_s=1.0) == 1
