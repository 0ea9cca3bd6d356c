"""The crash matrix arms every point in every service that has it, and what it claims of its cells can fail."""

from typing import Any

import pytest

from bench.matrix import crash
from bench.matrix.cells import exit_code
from bench.scenario import scenarios
from system.runtime.failpoints import parse
from system.runtime.guarantees import GUARANTEES, ONCE_A_LIFE, RESTART_POINTS
from tests.bench.matrix.literal import finding, result

CHECKOUT = scenarios()["checkout"]
LOSS = result("after-commit", "at-most-once", finding("missing-effect", 3, tolerated=True))
REPEAT = result("after-state", "at-least-once", finding("double-effect", 2, tolerated=True))
CLEAN = result("after-state", "transactional")


def test_in_full_every_point_of_every_guarantee_is_armed_in_every_service_that_has_it() -> None:
    cells = crash.cells(CHECKOUT, "full", seed=1)
    armed = set()
    for cell in cells:
        assert cell.options is not None
        armed |= {(cell.column, one.service, one.point) for one in parse(cell.options.fault or "none")}
    there = {
        (name, service, point)
        for name in CHECKOUT.guarantees
        for service, points in CHECKOUT.failpoints(GUARANTEES[name]).items()
        for point in points
    }
    assert armed == there
    assert len(cells) == len({cell.name for cell in cells}) <= 60


@pytest.mark.parametrize("guarantee", CHECKOUT.guarantees)
def test_points_of_the_restart_strike_a_life_that_follows_a_crash(guarantee: str) -> None:
    for point, plan in crash.plans(CHECKOUT, guarantee).items():
        for service in {one.service for one in parse(plan)}:
            mine = [one for one in parse(plan) if one.service == service]
            assert mine[-1].point == point
            assert len(mine) == (2 if point in (*RESTART_POINTS, crash.RECOVER) else 1)
            assert all(one.count == 1 for one in mine if one.point in ONCE_A_LIFE)


def test_smoke_and_standard_are_parts_of_full() -> None:
    full = {cell.name for cell in crash.cells(CHECKOUT, "full", seed=1)}
    standard = {cell.name for cell in crash.cells(CHECKOUT, "standard", seed=1)}
    smoke = {cell.name for cell in crash.cells(CHECKOUT, "smoke", seed=1)}
    assert smoke < standard < full
    assert len(smoke) == len(crash.SMOKE)
    assert {"at-most-once.after-commit", "outbox.after-pick", "transactional.after-offsets"} <= standard


@pytest.mark.parametrize(
    ("cells", "code"),
    [
        ([LOSS, REPEAT, CLEAN], 0),
        ([CLEAN], 0),
        ([LOSS, REPEAT, result("after-poll", "outbox", finding("double-effect"))], 1),
        ([result("after-poll", "at-most-once"), REPEAT], 2),
        ([LOSS, result("after-poll", "at-least-once")], 2),
        ([result("after-poll", "at-most-once", finding("pinned-watermark", tolerated=True))], 2),
        ([{**CLEAN, "gates": {"safety": "UNKNOWN", "liveness": "VALID", "measurement": "VALID"}}], 2),
        ([{**CLEAN, "gates": {"safety": "VALID", "liveness": "INVALID", "measurement": "VALID"}}], 5),
        ([{**CLEAN, "gates": {"safety": "VALID", "liveness": "VALID", "measurement": "INVALID"}}], 0),
    ],
    ids=[
        "all-well",
        "says-nothing-of-others",
        "too-much",
        "lost-none",
        "twice-none",
        "mere-sign",
        "missed",
        "stuck",
        "slow",
    ],
)
def test_the_exit_code_is_that_of_the_worst_claim(cells: list[Any], code: int) -> None:
    assert exit_code(crash.claims(cells)) == code


def test_a_harness_that_saw_nothing_lost_is_called_blind() -> None:
    claims = crash.claims([result("after-poll", "at-most-once")])
    assert [claim.found for claim in claims if claim.verdict == "unknown"] == ["nothing was lost: the harness is blind"]


def test_observed_counts_each_tolerated_kind_also_those_that_never_came() -> None:
    twice = result("after-produce", "at-least-once", finding("duplicate", 5, tolerated=True), finding("lost-write", 9))
    seen = crash.observed([REPEAT, twice])["at-least-once"]
    assert seen["double-effect"] == 2
    assert seen["duplicate"] == 5
    assert seen["phantom-effect"] == 0
    assert "lost-write" not in seen


def test_a_kind_that_two_checkers_report_is_counted_once() -> None:
    both = result("p", "g", finding("duplicate", 3, checker="one"), finding("duplicate", 4, checker="two"))
    assert crash.kinds(both, tolerated=False) == {"duplicate": 4}
