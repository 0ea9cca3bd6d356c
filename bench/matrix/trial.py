"""One cell, tried: a run through all its stages, or a damaged recording before the judge; and what is kept of it."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from bench.check import Verdicts, examine, exit_codes
from bench.corrupt import Corruption, Unfit, corrupted
from bench.display import Display
from bench.matrix.cells import Cell, Result, repeating
from bench.matrix.recovered import recoveries
from bench.measure.files import json_object
from bench.options import Options
from bench.resolve import resolve
from bench.stages import run_all
from verifiers.checker import Judgement

RUNS: Final = "runs"
GATES: Final = ("safety", "liveness", "measurement")
FIGURES: Final = ("completed_per_s", "offered_per_s", "response_latency_ms", "cost_per_saga")


def ran(cell: Cell, options: Options, *, folder: Path) -> Result:
    """Runs a cell into `folder`/runs. A run that is interrupted leaves nothing. Raises `ServerUnavailable`."""
    typed = replace(options, out=folder / RUNS)
    spec = resolve(typed)
    try:
        with Display(Console(quiet=True)) as silent:
            verdicts = run_all(spec, typed.wanted(), command=repeating(options), display=silent)
        return of_run(cell, spec.path, verdicts, folder=folder)
    except BaseException:
        shutil.rmtree(spec.path, ignore_errors=True)
        raise


def of_run(cell: Cell, run_folder: Path, verdicts: Verdicts, *, folder: Path) -> Result:
    """What the matrix keeps of a run, from its verdicts and measurements."""
    measured, run = json_object(run_folder / "measurements.json"), json_object(run_folder / "run.json")
    return {
        **_place(cell),
        "run": run_folder.relative_to(folder.absolute()).as_posix(),
        "command": run.get("command"),
        "environment": run.get("environment"),
        "verdict": _worst(verdicts["safety"], verdicts["liveness"]),
        "gates": {gate: verdicts[gate] for gate in GATES},
        "exit_codes": list(exit_codes(verdicts)),
        "reasons": list(_reasons(verdicts["checkers"])),
        "measurement_reasons": list(verdicts["measurement_reasons"]),
        "disturbances": len(verdicts["disturbances"]),
        "findings": [row for checker in verdicts["checkers"] for row in _counted(checker)],
        "examined": {checker["checker"]: _examined(checker["examined"]) for checker in verdicts["checkers"]},
        "recovery": recoveries(run_folder),
        "rebalance": (measured.get("rebalance") or {}).get("by_kind") or {},
        "figures": {
            "sagas_per_s": (measured.get("sagas") or {}).get("sagas_per_s"),
            **{name: measured.get(name) for name in FIGURES},
        },
    }


def damaged(cell: Cell, corruption: Corruption, bases: Sequence[Path], *, copy: Path) -> Result:
    """Damages a `copy` of the first of `bases` that has what can be damaged, and has it judged; the copy is removed."""
    reason = "no recording to be damaged"
    for base in bases:
        shutil.rmtree(copy, ignore_errors=True)
        try:
            entity = corrupted(corruption, base, copy)
            judged = examine(copy)
        except Unfit as unfit:
            reason = str(unfit)
            continue
        finally:
            shutil.rmtree(copy, ignore_errors=True)
        verdict = max(judged.safety, judged.liveness).name
        return {**_place(cell), **_judged(judged.judgements), "entity": entity, "verdict": verdict, "reasons": []}
    return {**_place(cell), "entity": None, "verdict": "UNKNOWN", "reasons": [reason], "findings": [], "examined": {}}


def _place(cell: Cell) -> dict[str, str]:
    return {"name": cell.name, "row": cell.row, "column": cell.column}


def _worst(*verdicts: str) -> str:
    return max(verdicts, key=("VALID", "UNKNOWN", "INVALID").index)


def _reasons(checkers: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Why a checker could not say: what did not strike, what was not there."""
    for checker in checkers:
        if checker["verdict"] == "UNKNOWN" and checker["reason"]:
            yield str(checker["reason"])


def _counted(checker: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    tolerated = {one["kind"] for one in checker["anomalies"] if one["tolerated"]}
    for kind, count in checker["counts"].items():
        if count:
            examples = [one["entity"] for one in checker["anomalies"] if one["kind"] == kind]
            yield _finding(checker["checker"], kind, count, tolerated=kind in tolerated, entities=examples)


def _judged(judgements: Sequence[Judgement]) -> dict[str, Any]:
    findings = []
    for one in judgements:
        for kind, count in one.finding.counts.items():
            entities = [anomaly.entity for anomaly in one.finding.anomalies if anomaly.kind == kind]
            if count:
                tolerated = kind in one.tolerated
                findings.append(_finding(one.checker.name, kind, count, tolerated=tolerated, entities=entities))
    return {
        "findings": findings,
        "examined": {one.checker.name: _examined(one.finding.examined) for one in judgements},
    }


def _finding(checker: str, kind: str, count: int, *, tolerated: bool, entities: Sequence[str]) -> dict[str, Any]:
    return {"checker": checker, "kind": kind, "count": count, "tolerated": tolerated, "entities": list(entities)}


def _examined(examined: Mapping[str, int]) -> int:
    """The largest class of things that were looked at; a sum would count an order and its rows twice."""
    return max(examined.values(), default=0)
