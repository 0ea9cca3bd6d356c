"""The fault matrix: what it plans can strike, and a rewind, which no guarantee survives, is judged apart."""

from collections.abc import Sequence

import pytest

from bench.matrix.cells import Claim, exit_code
from bench.matrix.fault import REWIND, ROWS, SEEDS, SMOKE, cells, claims, summary
from bench.nemesis.hands import HANDS
from bench.nemesis.kinds import KINDS
from bench.nemesis.legal import Ground, check_plan
from bench.nemesis.plan import parse_plan
from bench.scenario import scenarios
from tests.bench.matrix.literal import finding, result

CHECKOUT = scenarios()["checkout"]


@pytest.mark.parametrize("name", ROWS)
def test_every_plan_is_legal_on_the_ground_that_its_row_names(name: str) -> None:
    row = ROWS[name]
    workers = dict.fromkeys(CHECKOUT.services, 2)
    check_plan(parse_plan(row.plan), Ground(workers=workers, brokers=row.brokers, database=True, load_s=row.duration_s))


def test_every_kind_of_fault_that_there_is_has_a_row() -> None:
    struck = {(fault.family, fault.kind) for row in ROWS.values() for fault in parse_plan(row.plan).faults}
    assert struck == {(family, kind) for family, kinds in KINDS.items() for kind in kinds}
    assert struck == {(family, kind) for family, kinds in HANDS.items() for kind in kinds}


def test_standard_tries_each_fault_under_each_guarantee_and_full_does_so_over_five_seeds() -> None:
    standard, full, smoke = (cells(CHECKOUT, profile, seed=7) for profile in ("standard", "full", "smoke"))
    assert {(cell.column, cell.row) for cell in standard} == {
        (guarantee, row) for guarantee in CHECKOUT.guarantees for row in ROWS
    }
    assert len(full) == SEEDS * len(standard)
    assert len({cell.name for cell in full}) == len(full)
    assert {cell.options.seed for cell in full if cell.options} == set(range(7, 7 + SEEDS))
    assert {(cell.column, cell.row) for cell in smoke} == set(SMOKE)


def sentences(made: Sequence[Claim]) -> dict[str, str]:
    return {claim.sentence.split(",")[0]: claim.verdict for claim in made}


def test_what_a_rewind_loses_breaks_no_claim_and_must_be_shown() -> None:
    rewound = result(REWIND, "idempotent", finding("missing-effect", 9))
    quiet = result("kill", "idempotent", finding("duplicate", 3, tolerated=True))
    made = claims([quiet, rewound])
    assert exit_code(made) == 0, made
    assert set(sentences(made).values()) == {"held"}
    blind = claims([quiet, result(REWIND, "outbox")])
    assert exit_code(blind) == 2
    assert "unknown" in sentences(blind).values()
    assert summary([quiet, rewound])["observed"] == {"idempotent": {"duplicate": 3, "repeated-dead-letter": 0}}


def test_an_anomaly_under_any_other_fault_a_hang_and_a_miss_each_break_their_claim() -> None:
    wrong = result("kill", "outbox", finding("lost-write"))
    hung = {"safety": "VALID", "liveness": "INVALID", "measurement": "VALID"}
    vague = {"safety": "UNKNOWN", "liveness": "VALID", "measurement": "VALID"}
    assert exit_code(claims([wrong])) == 1
    assert exit_code(claims([result("pause", "outbox", gates=hung)])) == 5
    assert exit_code(claims([result("slow", "outbox", gates=vague)])) == 2
    assert exit_code(claims([])) == 0
