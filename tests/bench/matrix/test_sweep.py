"""A sweep goes on where it ended: what is on disk is not tried again, and what was interrupted is."""

from dataclasses import dataclass, replace
from pathlib import Path

import orjson
import pytest

from bench.matrix.cells import Cell, Result, repeating
from bench.matrix.document import FILE, Heading, unfinished, write_document
from bench.matrix.sweep import Results, results, sweep
from bench.options import Options
from tests.bench.matrix.literal import result
from verifiers.folder import BadRecording

CELLS = [Cell(name=name, row=name, column="c") for name in ("a", "b", "c")]
HEAD = Heading(kind="crash", scenario="checkout", profile="smoke", seed=3, only=None, commit="c0ffee", dirty=False)


@dataclass
class Trial:
    """An attempt that ends when it is asked for the `asks`-th time."""

    cell: Cell
    found: Result
    asks: int = 1

    def result(self) -> Result | None:
        self.asks -= 1
        return None if self.asks else self.found


def ignore(_result: Result, _known: Results) -> None:
    pass


def test_an_interrupted_sweep_keeps_what_ended_and_tries_only_the_rest(tmp_path: Path) -> None:
    tried: list[str] = []

    def begin(cell: Cell, _known: Results) -> Trial:
        tried.append(cell.name)
        if len(tried) == 2:
            raise KeyboardInterrupt
        return Trial(cell, {"name": cell.name, "try": len(tried)})

    with pytest.raises(KeyboardInterrupt):
        sweep(tmp_path, CELLS, begin, jobs=1, ended=ignore)
    assert list(results(tmp_path, CELLS)) == ["a"]
    found = sweep(tmp_path, CELLS, begin, jobs=1, ended=ignore)
    assert tried == ["a", "b", "b", "c"]
    assert {name: one["try"] for name, one in found.items()} == {"a": 1, "b": 3, "c": 4}


def test_a_cell_sees_the_results_before_it_and_each_end_is_told(tmp_path: Path) -> None:
    told: list[tuple[str, list[str]]] = []

    def begin(cell: Cell, known: Results) -> Trial:
        return Trial(cell, {"name": cell.name, "before": list(known)})

    def ended(result: Result, known: Results) -> None:
        told.append((result["name"], list(known)))

    found = sweep(tmp_path, CELLS, begin, jobs=1, ended=ended)
    assert found["c"]["before"] == ["a", "b"]
    assert told == [("a", ["a"]), ("b", ["a", "b"]), ("c", ["a", "b", "c"])]


@pytest.mark.parametrize(("jobs", "most"), [(1, 1), (2, 2), (64, 3)])
def test_so_many_cells_are_tried_at_a_time_and_no_more(jobs: int, most: int, tmp_path: Path) -> None:
    ended: list[str] = []
    begun: list[str] = []
    open_at_once: list[int] = []

    def begin(cell: Cell, _known: Results) -> Trial:
        begun.append(cell.name)
        open_at_once.append(len(begun) - len(ended))
        return Trial(cell, {"name": cell.name}, asks=1 if cell.name == "b" else 2)

    sweep(tmp_path, CELLS, begin, jobs=jobs, ended=lambda result, _: ended.append(result["name"]))
    assert begun == ["a", "b", "c"]
    assert sorted(ended) == ["a", "b", "c"]
    assert max(open_at_once) == most


def test_a_cell_waits_for_those_that_it_rests_on_and_others_go_before_it(tmp_path: Path) -> None:
    cells = [CELLS[0], replace(CELLS[1], bases=("a",)), CELLS[2]]
    seen: dict[str, list[str]] = {}

    def begin(cell: Cell, known: Results) -> Trial:
        seen[cell.name] = list(known)
        return Trial(cell, {"name": cell.name}, asks=1 if cell.name == "c" else 2)

    sweep(tmp_path, cells, begin, jobs=2, ended=ignore)
    assert seen == {"a": [], "c": [], "b": ["c", "a"]}


def test_a_cell_that_cannot_begin_yet_is_asked_again_when_another_has_ended(tmp_path: Path) -> None:
    asked: list[str] = []

    def begin(cell: Cell, known: Results) -> Trial | None:
        asked.append(cell.name)
        return None if cell.name == "b" and "a" not in known else Trial(cell, {"name": cell.name})

    sweep(tmp_path, CELLS, begin, jobs=3, ended=ignore)
    assert asked == ["a", "b", "b", "c"]


def test_a_result_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "cells").mkdir()
    (tmp_path / "cells" / "b.json").write_text('{"na')
    with pytest.raises(BadRecording, match=r"b\.json.*remove it"):
        results(tmp_path, CELLS)


def written(folder: Path, *, planned: int, head: Heading = HEAD) -> Path:
    folder.mkdir()
    write_document(folder, head, [result("r", "c")], planned=planned, command="c", claims=[], summary={})
    return folder


def heading(**changed: object) -> Heading:
    return Heading(**{**{name: getattr(HEAD, name) for name in Heading.__slots__}, **changed})


def test_only_an_unfinished_sweep_of_the_same_cells_and_code_is_gone_on_with(tmp_path: Path) -> None:
    written(tmp_path / "20260101T000000Z-matrix-crash-checkout-smoke-s3", planned=1)
    assert unfinished(tmp_path, HEAD, seed_is_typed=True) is None
    open_one = written(tmp_path / "20260101T000001Z-matrix-crash-checkout-smoke-s3", planned=2)
    assert unfinished(tmp_path, HEAD, seed_is_typed=True) == (open_one, 3)
    for change in ({"commit": "beef"}, {"profile": "full"}, {"only": "a*"}, {"kind": "kill"}, {"seed": 4}):
        assert unfinished(tmp_path, heading(**change), seed_is_typed=True) is None
    assert unfinished(tmp_path, heading(seed=4), seed_is_typed=False) == (open_one, 3)


def test_claims_and_exit_code_wait_until_every_cell_is_there(tmp_path: Path) -> None:
    half = orjson.loads((written(tmp_path / "half", planned=2) / FILE).read_bytes())
    assert (half["complete"], half["exit_code"], half["claims"]) == (False, None, [])
    whole = orjson.loads((written(tmp_path / "whole", planned=1) / FILE).read_bytes())
    assert (whole["complete"], whole["exit_code"]) == (True, 0)


def test_the_command_of_a_cell_repeats_it_on_servers_of_its_own() -> None:
    options = Options(
        scenario="checkout",
        guarantee="outbox",
        fault="crash:pay@after-pick#3",
        rate="max",
        operations=900,
        seed=7,
        settings=("poison=0",),
        replay=True,
        out=Path("elsewhere"),
        dsn="host=elsewhere",
    )
    assert repeating(options) == (
        "choreobench run checkout --guarantee outbox --fault crash:pay@after-pick#3 --rate max --operations 900 "
        "--seed 7 --set poison=0 --replay"
    )
