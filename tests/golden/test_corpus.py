"""The golden corpus is judged as it was when it was written down: verdicts, counts, and the entities that are named."""

from pathlib import Path
from typing import Any

import pytest

from bench.check import check, exit_code
from tests.golden.corpus import expected, names, unpacked


def said(verdicts: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """What is compared: every checker that found something or does not know, with the entities that it names."""
    checkers = {
        checker["checker"]: {
            "verdict": checker["verdict"],
            "counts": checker["counts"],
            "entities": sorted({f"{one['kind']} {one['entity']}" for one in checker["anomalies"]}),
        }
        for checker in verdicts["checkers"]
        if checker["counts"] or checker["verdict"] != "VALID"
    }
    gates = {gate: verdicts[gate] for gate in ("verdict", "safety", "liveness", "quiet")}
    return {**gates, "exit_code": exit_code(verdicts), "checkers": checkers}


@pytest.mark.parametrize("name", names())
def test_a_literal_recording_is_judged_the_same_for_ever(name: str, tmp_path: Path) -> None:
    wanted = expected(name)
    assert wanted.pop("story")
    answer = said(check(unpacked(name, tmp_path / name)))
    known, told = wanted.pop("checkers"), answer.pop("checkers")
    assert answer == wanted
    assert {checker: told.get(checker) for checker in known} == known
    # A checker that came later may say that it does not know; it must not find anything.
    assert not {checker: said for checker, said in told.items() if checker not in known and said["counts"]}


def test_the_corpus_has_what_is_legal_empty_indefinite_and_illegal() -> None:
    verdicts = {name: expected(name)["verdict"] for name in names()}
    assert len(verdicts) >= 8
    assert {"legal", "empty", "indefinite"} <= verdicts.keys()
    assert set(verdicts.values()) == {"VALID", "UNKNOWN", "INVALID"}
