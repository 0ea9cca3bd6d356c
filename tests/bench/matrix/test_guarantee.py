"""Rounds are interleaved, ratios are taken inside them, and a floor is decided by a whole interval."""

from typing import Any

import pytest

from bench.matrix import guarantee
from bench.matrix.cells import Claim, exit_code
from bench.scenario import scenarios
from tests.bench.matrix.literal import finding, price, result

CHECKOUT = scenarios()["checkout"]


def priced(idempotent: list[float], transactional: list[float], base: list[float]) -> list[Any]:
    series = {"idempotent": idempotent, "transactional": transactional, "at-most-once": base}
    return [price(name, number, rate) for name, rates in series.items() for number, rate in enumerate(rates)]


def claims(results: list[Any], profile: str = "standard") -> list[Claim]:
    return guarantee.claims(results, profile=profile, seed=1)


def test_guarantees_take_turns_and_all_of_a_round_have_one_seed() -> None:
    cells = [cell for cell in guarantee.cells(CHECKOUT, "standard", seed=4) if cell.column == guarantee.FULL_SPEED]
    names = list(CHECKOUT.guarantees)
    assert [cell.row for cell in cells] == names * 3
    assert [cell.options.seed for cell in cells if cell.options] == [4] * 5 + [5] * 5 + [6] * 5
    assert {cell.options.operations for cell in cells if cell.options} == {60_000}


def test_every_guarantee_also_runs_at_one_fixed_rate_but_in_a_sketch() -> None:
    steady = [one for one in guarantee.cells(CHECKOUT, "full", seed=1) if one.column == guarantee.STEADY]
    assert [one.row for one in steady] == list(CHECKOUT.guarantees)
    assert {one.options.rate for one in steady if one.options} == {"1500"}
    assert all(one.column != guarantee.STEADY for one in guarantee.cells(CHECKOUT, "smoke", seed=1))


@pytest.mark.parametrize(
    ("idempotent", "code"), [([600, 700, 650], 0), ([400, 450, 490], 3), ([400, 600, 700], 2), ([], 2)]
)
def test_a_floor_is_reached_missed_or_left_open(idempotent: list[float], code: int) -> None:
    assert exit_code(claims(priced(idempotent, [300, 300, 300], [1000, 1000, 1000]))) == code


def test_a_slow_round_that_slows_both_costs_nobody_the_floor() -> None:
    slow = priced([600, 60, 600], [300, 30, 300], [1000, 100, 1000])
    assert exit_code(claims(slow)) == 0
    assert guarantee.summary(slow, seed=1)["prices"]["idempotent"]["ratio"]["median"] == pytest.approx(0.6)


@pytest.mark.parametrize(("late", "verdict"), [([900, 890, 880], "held"), ([700, 690, 680], "broken"), ([], "unknown")])
def test_ten_million_inbox_rows_may_cost_a_fifth(late: list[float], verdict: str) -> None:
    results = priced([1000, 1000, 1000], [900, 900, 900], [1000, 1000, 1000])
    rounds = [price("idempotent", number, rate, column=guarantee.LATE) for number, rate in enumerate(late)]
    *_, claim = claims(results + rounds, "full")
    assert guarantee.LATE_SETTING in claim.sentence
    assert claim.verdict == verdict


def test_the_full_matrix_has_rounds_with_a_long_life_behind_them() -> None:
    late = [one for one in guarantee.cells(CHECKOUT, "full", seed=1) if one.column == guarantee.LATE]
    assert [one.options.settings for one in late if one.options] == [(guarantee.LATE_SETTING,)] * 3


def test_a_sketch_claims_no_floor() -> None:
    assert len(claims(priced([1], [1], [1000]), "smoke")) == 1


def test_an_anomaly_in_an_undisturbed_run_comes_before_every_price() -> None:
    wrong = {**price("idempotent", 0, 1.0), **result("idempotent", "full speed", finding("duplicate"))}
    assert exit_code(claims([wrong, price("at-most-once", 0, 1000.0)])) == 1


def test_a_fixed_rate_that_was_not_kept_is_an_invalid_measurement() -> None:
    late = {"safety": "VALID", "liveness": "VALID", "measurement": "INVALID"}
    steady = result("idempotent", guarantee.STEADY, gates=late)
    assert exit_code(claims([*priced([600], [300], [1000]), steady])) == 4


def test_a_run_that_completed_nothing_has_no_ratio_to_stand_over() -> None:
    found = guarantee.summary([price("at-most-once", 0, None), price("idempotent", 0, 5.0)], seed=1)
    assert found["prices"]["idempotent"]["ratio"] is None
    assert found["prices"]["at-most-once"]["sagas_per_s"]["median"] == 0
    assert found["prices"]["idempotent"]["cpu_us"] == {"pay": 10.0, "broker": 20.0}
