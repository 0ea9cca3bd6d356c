"""The check stage: a recorded run folder → `verdicts.json`. Reads files alone; every server may be stopped, and the run
old.

Runs each checker of the scenario, then judges: kinds that the guarantee tolerates leave a verdict VALID in a run that
something disturbed. A fault or a condition that did not bite makes the run UNKNOWN, as nothing was tried. A folder that
is no whole recording raises `verifiers.folder.BadRecording` with one line; the command line answers that with exit
64, as it says something about the argument and nothing about the system.
"""

import importlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from bench.conditions import vacuity_checkers
from bench.guarantees import TOLERATES
from verifiers.checker import Checker, Judgement, Verdict, judge, run_checker
from verifiers.disturbance import disturbances
from verifiers.evidence import Source, with_evidence
from verifiers.folder import BadRecording, read_run
from verifiers.recording import Recording, open_recording

EXIT_SAFETY: Final = 1
EXIT_UNKNOWN: Final = 2
EXIT_MEASUREMENT: Final = 4
EXIT_LIVENESS: Final = 5
DISTURBANCES_SHOWN: Final = 100


Verdicts = Mapping[str, Any]
"""`verdicts.json` as interface.md has it: verdict, safety, liveness, measurement, checkers; with reasons beside."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A verdict a gate, and every checker with what it examined and found."""

    safety: Verdict
    liveness: Verdict
    measurement: Verdict
    judgements: tuple[Judgement, ...]
    disturbances: tuple[str, ...] = ()
    measurement_reasons: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """The worst of the three gates."""
        return max(self.safety, self.liveness, self.measurement)


def check(run_folder: Path) -> Verdicts:
    """Check a run folder and write its `verdicts.json`. Raises `BadRecording`."""
    verdicts = as_json(examine(run_folder))
    write(run_folder / "verdicts.json", verdicts)
    return verdicts


def examine(run_folder: Path) -> Judged:
    """Check a run folder and write nothing. Raises `BadRecording`."""
    scenario = importlib.import_module(f"bench.scenarios.{scenario_of(run_folder)}.invariants")
    recording = open_recording(run_folder, required=scenario.REQUIRED)
    try:
        return _judged(recording, checkers_of(run_folder), scenario.SOURCES)
    finally:
        recording.close()


def checkers_of(run_folder: Path) -> tuple[Checker, ...]:
    """Every checker that a run of this scenario is judged by. Raises `BadRecording`."""
    scenario = importlib.import_module(f"bench.scenarios.{scenario_of(run_folder)}.invariants")
    return (*scenario.CHECKERS, *vacuity_checkers(scenario.CONDITIONS))


def scenario_of(run_folder: Path) -> str:
    """The scenario named in run.json, told from the folders that have invariants. Raises `BadRecording`."""
    folder = Path(__file__).parent / "scenarios"
    known = sorted(path.parent.name for path in folder.glob("*/invariants*") if not path.name.startswith("__"))
    scenario = read_run(run_folder).get("scenario")
    from_file = run_folder / "run.json"
    if scenario is None:
        raise BadRecording(f"{from_file}: it names no scenario")
    if scenario not in known:
        raise BadRecording(f"{from_file}: scenario {scenario!r} is unknown; known are {', '.join(known)}")
    return str(scenario)


def _judged(recording: Recording, checkers: Sequence[Checker], sources: Iterable[Source]) -> Judged:
    disturbed = tuple(disturbances(recording))
    guarantee = str(recording.run.get("guarantee"))
    tolerates = TOLERATES.get(guarantee, frozenset()) if disturbed else frozenset()
    findings = [run_checker(checker, recording) for checker in checkers]
    shown = with_evidence(recording, findings, sources)
    judgements = tuple(
        judge(checker, finding, tolerates=tolerates) for checker, finding in zip(checkers, shown, strict=True)
    )
    measurement, reasons = measured(recording.folder)
    return Judged(
        safety=_worst(judgements, "safety"),
        liveness=_worst(judgements, "liveness"),
        measurement=measurement,
        judgements=judgements,
        disturbances=disturbed,
        measurement_reasons=reasons,
    )


def _worst(judgements: Sequence[Judgement], gate: str) -> Verdict:
    """The worst verdict of a gate; UNKNOWN where no checker of it applied."""
    verdicts = [
        judgement.verdict
        for judgement in judgements
        if judgement.checker.gate == gate and not judgement.finding.not_applicable
    ]
    return max(verdicts, default=Verdict.UNKNOWN)


def measured(run_folder: Path) -> tuple[Verdict, tuple[str, ...]]:
    """The verdict on the measurement and its reasons, as the measure stage left them in `measurements.json`.

    Without them there is no figure to be judged: VALID, and the reason says so.
    """
    path = run_folder / "measurements.json"
    if not path.exists():
        return Verdict.VALID, ("nothing was measured",)
    try:
        validity = orjson.loads(path.read_bytes()).get("validity") or {}
        reasons = tuple(str(reason) for reason in validity.get("reasons") or ())
        return Verdict[str(validity.get("verdict", "VALID"))], reasons
    except (OSError, orjson.JSONDecodeError, AttributeError, KeyError) as error:
        return Verdict.UNKNOWN, (f"{path.name} cannot be read: {type(error).__name__}",)


def as_json(judged: Judged) -> dict[str, Any]:
    """The content of `verdicts.json`."""
    return {
        "verdict": judged.verdict.name,
        "safety": judged.safety.name,
        "liveness": judged.liveness.name,
        "measurement": judged.measurement.name,
        "measurement_reasons": list(judged.measurement_reasons),
        "quiet": not judged.disturbances,
        "disturbances": list(judged.disturbances[:DISTURBANCES_SHOWN]),
        "checkers": [_checker_json(judgement) for judgement in judged.judgements],
    }


def _checker_json(judgement: Judgement) -> dict[str, Any]:
    finding = judgement.finding
    return {
        "checker": judgement.checker.name,
        "claim": judgement.checker.claim,
        "gate": judgement.checker.gate,
        "verdict": judgement.verdict.name,
        "applicable": finding.not_applicable is None,
        "reason": judgement.reason,
        "examined": dict(finding.examined),
        "counts": dict(finding.counts),
        "anomalies": [
            {
                "kind": anomaly.kind,
                "entity": anomaly.entity,
                "count": anomaly.count,
                "tolerated": anomaly.kind in judgement.tolerated,
                "explanation": anomaly.explanation,
                "evidence": list(anomaly.evidence),
            }
            for anomaly in finding.anomalies
        ],
    }


def write(path: Path, content: Mapping[str, Any]) -> None:
    """A JSON file that appears whole or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    partial.replace(path)


def exit_codes(verdicts: Verdicts) -> tuple[int, ...]:
    """Every code of interface.md that holds, the first one to be returned; empty for a valid run."""
    gates = [verdicts[gate] for gate in ("safety", "liveness", "measurement")]
    holds = {
        EXIT_SAFETY: verdicts["safety"] == "INVALID",
        EXIT_LIVENESS: verdicts["liveness"] == "INVALID",
        EXIT_UNKNOWN: "UNKNOWN" in gates,
        EXIT_MEASUREMENT: verdicts["measurement"] == "INVALID",
    }
    return tuple(code for code, does in holds.items() if does)


def exit_code(verdicts: Verdicts) -> int:
    """0 valid · 1 safety · 5 liveness · 2 unknown · 4 measurement: the first of these that holds."""
    return next(iter(exit_codes(verdicts)), 0)
