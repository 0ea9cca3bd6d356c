"""What a run cannot have is refused before anything starts; and a mix draws nothing that would be refused."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.nemesis.kinds import FAMILIES, KINDS
from bench.nemesis.legal import Ground, check_plan
from bench.nemesis.mix import expanded
from bench.nemesis.plan import ALL, Mix, Plan, parse_plan
from system.runtime.failpoints import BadFaultPlan

GROUND = Ground(workers={"pay": 2, "order": 1}, brokers=3, database=True, load_s=60)


@pytest.mark.parametrize(
    "plan",
    [
        "none",
        "kill:pay-1@1s+pause:owner@59s",
        "rewind:postgres@3s",
        "kill:majority@2s",
        "rolling:brokers@1s",
        "cut:pay@1s",
    ],
)
def test_what_the_ground_has_may_be_struck(plan: str) -> None:
    check_plan(parse_plan(plan), GROUND)


@pytest.mark.parametrize(
    ("plan", "ground", "named"),
    [
        ("kill:stock@1s", GROUND, "legal: pay, order, pay-0, pay-1, order-0, owner, driver"),
        ("kill:pay-2@1s", GROUND, "there is no 'pay-2'"),
        ("rolling:pay-1@1s", GROUND, "legal: pay, order"),
        ("kill:broker-4@1s", GROUND, "legal: broker-1, broker-2, broker-3"),
        ("kill:pay@60s", GROUND, "ends after 60s"),
        ("kill:pay@1s+kill:pay@1s", GROUND, "twice"),
        ("kill:leader@1s", replace(GROUND, brokers=1), "--brokers 3"),
        ("kill:leader@1s", replace(GROUND, brokers=0), "without --bootstrap-servers"),
        ("kill:postgres@1s", replace(GROUND, database=False), "without --dsn"),
        ("mix:postgres@1s~9s", replace(GROUND, database=False), "legal: services"),
        ("mix:brokers@1s~9s", replace(GROUND, brokers=1), "legal: services, postgres, all"),
        ("mix:all@1s~60s", GROUND, "ends after 60s"),
    ],
)
def test_what_it_has_not_is_refused_with_what_is_legal(plan: str, ground: Ground, named: str) -> None:
    with pytest.raises(BadFaultPlan, match=named):
        check_plan(parse_plan(plan), ground)


@given(st.sampled_from((*FAMILIES, ALL)), st.integers(0, 100), st.integers(1, 600), st.integers(0, 2**31 - 1))
def test_a_mix_draws_legal_faults_that_are_over_before_it_ends(family: str, at_s: int, for_s: int, seed: int) -> None:
    ground = replace(GROUND, load_s=None)
    mix = Mix(family, at_s, for_s)
    faults = expanded(mix, ground, seed=seed)
    check_plan(Plan(faults), ground)
    assert faults == expanded(mix, ground, seed=seed)
    assert parse_plan(str(Plan(faults))).faults == faults
    for fault in faults:
        assert at_s <= fault.at_s
        assert fault.at_s + fault.for_s + KINDS[fault.family][fault.kind].settles_s <= at_s + for_s
        assert fault.kind != "rewind"
        assert family in (ALL, fault.family)


def test_another_seed_draws_another_mix_and_a_long_one_meets_every_kind() -> None:
    mix = Mix("services", 0, 3600)
    faults = expanded(mix, GROUND, seed=1)
    assert faults != expanded(mix, GROUND, seed=2)
    assert {fault.kind for fault in faults} == {
        "kill",
        "pause",
        "restart",
        "rolling",
        "out",
        "in",
        "slow",
        "twin",
        "poison",
    }
