"""Results of cells as they stand on disk, written down by hand."""

from collections.abc import Mapping
from typing import Any

from bench.matrix.cells import Result


def finding(
    kind: str, count: int = 1, *, tolerated: bool = False, checker: str = "a_checker", entity: str = "1_1"
) -> dict[str, Any]:
    return {"checker": checker, "kind": kind, "count": count, "tolerated": tolerated, "entities": [entity]}


def result(row: str, column: str, *findings: Mapping[str, Any], **more: object) -> Result:
    """A cell that ran; its gates and exit codes follow from the findings unless they are given."""
    wrong = any(not one["tolerated"] for one in findings)
    gates = {"safety": "INVALID" if wrong else "VALID", "liveness": "VALID", "measurement": "VALID"}
    found: Mapping[str, Any] = {
        "name": f"{column}.{row}",
        "row": row,
        "column": column,
        "run": f"runs/{row}",
        "verdict": "INVALID" if wrong else "VALID",
        "gates": gates,
        "exit_codes": [1] if wrong else [],
        "reasons": [],
        "measurement_reasons": [],
        "findings": list(findings),
        "examined": {"a_checker": 100},
        "recovery": [],
        "figures": {"sagas_per_s": None, "cost_per_saga": None},
    }
    return {**found, **more}


def price(guarantee: str, number: int, sagas_per_s: float | None, **more: object) -> Result:
    """A run at full speed."""
    cost = {"cpu_us": {"pay": 10.0, "broker": 20.0}, "cpu_us_total": 30.0, "wal_bytes": 900.0, "broker_bytes": 200.0}
    figures = {"sagas_per_s": sagas_per_s, "cost_per_saga": {**cost, "fsyncs": 0.01}}
    name = f"{guarantee}.max.{number}"
    return {**result(guarantee, "full speed", figures=figures), "name": name, **more}
