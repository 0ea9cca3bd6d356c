"""The rebalance matrix: legal plans, claims that follow from the figures, and one cell through the command."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from bench.cli import main
from bench.cluster.endpoints import Endpoints
from bench.matrix import rebalance
from bench.matrix.cells import Claim
from bench.nemesis.plan import parse_plan
from bench.scenario import scenarios
from tests.bench.matrix.literal import result


def figures(p90: float | None) -> dict[str, Any]:
    first = None if p90 is None else {"count": 4, "median": 1.0, "p90": p90, "max": p90}
    none = dict.fromkeys(("ownership_overlap_ms", "goodput_lost_operations", "latency_back_ms"))
    return {"changes": 1, "handovers": 4, "first_record_ms": first, **none}


def claimed(protocol: str, kind: str, p90: float | None) -> list[Claim]:
    cell = result("4 partitions, 2 members", protocol, rebalance={kind: figures(p90)})
    return [claim for claim in rebalance.claims([cell]) if "hand-overs" in claim.sentence]


@pytest.mark.parametrize("profile", list(rebalance.PROFILES))
def test_every_plan_is_legal_and_over_before_the_load(profile: str) -> None:
    cells = rebalance.cells(scenarios()["checkout"], profile, seed=1)
    assert len({cell.name for cell in cells}) == len(cells)
    for cell in cells:
        assert cell.options is not None
        faults = parse_plan(str(cell.options.fault)).faults
        assert all(fault.at_s + fault.for_s < float(cell.options.duration_s or 0) for fault in faults)


def test_nobody_joins_where_every_partition_has_a_member() -> None:
    cells = rebalance.cells(scenarios()["checkout"], "full", seed=1)
    joined = {cell.row for cell in cells if cell.options is not None and "out:" in str(cell.options.fault)}
    assert {cell.row for cell in cells} - joined == {"4 partitions, 10 members"}


@pytest.mark.parametrize(
    ("protocol", "kind", "p90", "verdict"),
    [
        ("kip-848", "join", 999.0, "held"),
        ("kip-848", "leave", 1001.0, "broken"),
        ("cooperative-sticky", "join", None, "unknown"),
        ("eager", "crash", 6900.0, "held"),
        ("static", "crash", 7100.0, "broken"),
    ],
)
def test_a_claim_follows_from_the_worst_p90(protocol: str, kind: str, p90: float | None, verdict: str) -> None:
    (claim,) = claimed(protocol, kind, p90)
    assert (claim.verdict, claim.code) == (verdict, 2 if verdict == "unknown" else 3)


def test_nothing_is_claimed_of_a_clean_eager_hand_over() -> None:
    assert claimed("eager", "join", 5000.0) == []


def test_one_cell_through_the_command(cluster: Endpoints, tmp_path: Path) -> None:
    servers = ["--bootstrap-servers", cluster.bootstrap, "--dsn", cluster.dsn]
    only = ["--profile", "smoke", "--only", "kip-848.*", "--seed", "1", "--out", str(tmp_path)]
    code = main(["matrix", "rebalance", *only, *servers])
    (folder,) = tmp_path.glob("*-matrix-rebalance-*")
    document = orjson.loads((folder / "matrix.json").read_bytes())
    assert document["claims"][0]["verdict"] == "held"
    assert {row["kind"] for row in document["rebalances"]} == {"join", "leave"}
    assert all(row["first_record_ms"]["count"] for row in document["rebalances"])
    assert code in (0, 3)
    assert "Rebalance matrix" in (folder / "report.html").read_text(encoding="utf-8")
