"""The page of a matrix says everything in words, from its JSON alone, and escapes what was recorded."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from bench.check import write
from bench.matrix import crash, guarantee, kill
from bench.matrix.cells import Claim, Result
from bench.matrix.document import Heading, write_document
from bench.scenario import scenarios
from reports.matrix import main, matrix_page
from tests.bench.matrix.literal import finding, price, result

CRASHED = {"failpoint": "crash:pay@after-state#3", "process": "pay-0", "ready_ms": 900.0, "partitions": 4}
CRASH = [
    result("after-state", "at-least-once", finding("double-effect", 7, tolerated=True)),
    result("after-state", "outbox", finding("lost-write", 2), recovery=[{**CRASHED, "recovery_ms": 6100.0}]),
    result("after-poll", "outbox", recovery=[{**CRASHED, "recovery_ms": None}]),
    result("after-poll", "at-least-once", verdict="UNKNOWN", reasons=["the fault did not strike: <x>"]),
]
KILL = [
    kill.judged(one, scenarios()["checkout"])
    for one in (
        result("no-inbox", kill.SYSTEM, finding("double-effect")),
        result("credit-changed", kill.RECORDING, entity=None, verdict="UNKNOWN", reasons=["no row"]),
        result("idempotent s1", kill.CLEAN, finding("duplicate")),
    )
]
PRICE = [price("at-most-once", 0, 4000.0), price("idempotent", 0, 3000.0)]


def page(
    folder: Path, kind: str, cells: list[Result], summary: Mapping[str, Any], *, planned: int | None = None
) -> str:
    head = Heading(kind=kind, scenario="checkout", profile="smoke", seed=1, only=None, commit="c0ffee", dirty=False)
    claims = [Claim("it is so", "3 of 4", "broken", 1), Claim("that too", "4 of 4", "held", 0)]
    write_document(
        folder, head, cells, planned=planned or len(cells), command="choreobench", claims=claims, summary=summary
    )
    return matrix_page(folder).read_text(encoding="utf-8")


def test_a_crash_cell_says_its_verdict_and_what_was_found_in_words(tmp_path: Path) -> None:
    text = page(tmp_path, "crash", CRASH, crash.summary(CRASH))
    for word in ("BROKEN", "tolerated", "double-effect ×7", "INVALID", "lost-write ×2", "6.1 s", "UNKNOWN", "clean"):
        assert word in text
    assert "did not strike: &lt;x&gt;" in text
    assert "no commit before it died again" in text
    assert 'href="runs/after-state/report.html"' in text


def test_a_mutant_says_its_fate_its_catchers_and_why_it_was_not_tried(tmp_path: Path) -> None:
    text = page(tmp_path, "kill", KILL, kill.summary(KILL))
    for word in ("caught", "not tried", "no row", "accused", "pay keeps no inbox", "a checker"):
        assert word in text


def test_a_price_says_its_ratio_and_its_costs(tmp_path: Path) -> None:
    text = page(tmp_path, "guarantee", PRICE, guarantee.summary(PRICE, seed=1))
    assert "0.75 × (0.75 to 0.75) of at-most-once" in text
    assert "pay 10" in text


def test_an_unfinished_matrix_claims_nothing_and_says_so(tmp_path: Path) -> None:
    text = page(tmp_path, "guarantee", PRICE, guarantee.summary(PRICE, seed=1), planned=9)
    assert "2 of 9 cells" in text
    assert "it is so" not in text


def test_the_command_names_what_is_wrong_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 64
    assert main([str(tmp_path)]) == 64
    write(tmp_path / "matrix.json", {"kind": "frob"})
    assert main([str(tmp_path)]) == 64
    assert capsys.readouterr().err.count("\n") == 3
