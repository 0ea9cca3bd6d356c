"""A fault plan means exactly what it says, and what does not parse is refused with the form that is legal."""

import pytest

from system.runtime.failpoints import BadFaultPlan, Crash, Failpoints, parse
from system.runtime.observer import NullObserver


def test_a_plan_is_none_or_crashes_joined_by_plus() -> None:
    assert parse("none") == ()
    crashes = (Crash("pay", "after-state", 3), Crash("order", "before-commit", 10))
    assert parse("crash:pay@after-state#3+crash:order@before-commit#10") == crashes
    assert "+".join(map(str, crashes)) == "crash:pay@after-state#3+crash:order@before-commit#10"


@pytest.mark.parametrize(
    "plan",
    ["", "crash", "crash:pay", "crash:pay@x", "crash:pay@x#0", "crash:pay@x#-1", "crash:pay@x#1+", "kill:pay@x#1"],
)
def test_anything_else_is_refused_in_one_line(plan: str) -> None:
    with pytest.raises(BadFaultPlan, match="crash:SERVICE@POINT#N"):
        parse(plan)


def test_a_crash_strikes_at_its_passing_once() -> None:
    struck: list[int] = []
    passing = 0
    armed = [Crash("pay", "after-state", 3)]
    failpoints = Failpoints(armed, NullObserver(), strike=lambda _last_words: struck.append(passing))
    for passing in range(1, 6):  # noqa: B007 - the strike reads it
        failpoints.passed("after-poll")
        failpoints.passed("after-state")
    assert struck == [3]
