"""A fault plan means exactly what it says, its text is canonical, and what does not parse is refused in one line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.nemesis.kinds import KINDS
from bench.nemesis.plan import Fault, Mix, Plan, parse_plan
from system.runtime.failpoints import BadFaultPlan, Crash

TIMES = st.integers(0, 999_999_000).map(lambda ms: ms / 1000)
FAULTS = [
    (kind, role)
    for family in KINDS.values()
    for kind, one in family.items()
    for role in [
        name if name.islower() else {"SERVICE": "pay", "WORKER": "pay-1"}.get(name, "broker-2") for name in one.roles
    ]
]


@given(
    st.lists(
        st.builds(lambda pair, at, lasts: Fault(pair[0], pair[1], at, lasts), st.sampled_from(FAULTS), TIMES, TIMES)
    )
)
def test_the_text_of_any_plan_is_the_plan_again(faults: list[Fault]) -> None:
    plan = Plan(tuple(faults))
    assert parse_plan(str(plan)) == plan


def test_a_plan_says_what_whom_when_and_for_how_long() -> None:
    plan = parse_plan("crash:pay@after-state#3+pause:pay-1@2.5s~9s+kill:postgres@4s+mix:services@10s~20s")
    assert plan.crashes == (Crash("pay", "after-state", 3),)
    assert plan.faults == (Fault("pause", "pay-1", 2.5, 9), Fault("kill", "postgres", 4, 1))
    assert plan.mixes == (Mix("services", 10, 20),)
    assert [fault.family for fault in plan.faults] == ["services", "postgres"]
    assert parse_plan("none") == Plan()


def test_a_time_that_is_the_default_is_left_out_of_the_canonical_text() -> None:
    assert str(parse_plan("pause:pay@05.0s~8s")) == "pause:pay@5s"


@pytest.mark.parametrize(
    ("plan", "named"),
    [
        ("explode", "KIND:ROLE@Ns"),
        ("kill:pay", "KIND:ROLE@Ns"),
        ("kill:pay@-1s", "KIND:ROLE@Ns"),
        ("kill:pay@1s+", "KIND:ROLE@Ns"),
        ("none+kill:pay@1s", "KIND:ROLE@Ns"),
        ("eat:pay@1s", "legal: cut"),
        ("rewind:pay@1s", "it strikes postgres"),
        ("poison:postgres@1s", "it strikes SERVICE"),
        ("mix:services@1s", "needs its length"),
        ("mix:pay@1s~2s", "legal: services"),
    ],
)
def test_what_does_not_parse_is_refused_in_one_line_that_names_what_is_legal(plan: str, named: str) -> None:
    with pytest.raises(BadFaultPlan) as refused:
        parse_plan(plan)
    assert named in str(refused.value)
    assert "\n" not in str(refused.value)
