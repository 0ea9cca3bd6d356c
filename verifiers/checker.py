"""The shape of a checker: a plain function from a recording to a finding. Detection only; `judge` turns findings into
verdicts.

VALID < UNKNOWN < INVALID, the worst wins. A checker that crashed or examined nothing is UNKNOWN: no evidence is no
proof. What a guarantee tolerates is counted and printed all the same (spec/README.md), so it is a property of the
judgement.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Literal

import duckdb

from verifiers.recording import Missing, Recording

Gate = Literal["safety", "liveness", "measurement"]
EXAMPLES_A_KIND = 8
"""Anomalies shown for each kind; the counts are always complete."""


class Verdict(IntEnum):
    """Ordered by severity, so that `max` merges."""

    VALID = 0
    UNKNOWN = 1
    INVALID = 2


@dataclass(frozen=True, slots=True)
class Anomaly:
    """One example of a violation. `subject` says what the entity is (`saga`, `order`, `user`, `item`, `record`, …), so
    that its chain of events can be told; `evidence` is that chain over all topics and tables, a line an event, in time
    order."""

    kind: str
    entity: str
    explanation: str
    subject: str = "record"
    count: int = 1
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """What a checker examined, how many anomalies of each kind it found, and the most telling examples of them.

    `not_applicable` excludes the checker from the verdict with a reason; `unknown` makes it UNKNOWN with a reason.
    """

    examined: Mapping[str, int]
    counts: Mapping[str, int] = field(default_factory=dict)
    anomalies: tuple[Anomaly, ...] = ()
    not_applicable: str | None = None
    unknown: str | None = None


@dataclass(frozen=True, slots=True)
class Checker:
    """`function` under the name of the claim that it makes. `at_quiescence`: the claim holds only once everything was
    drained."""

    name: str
    gate: Gate
    function: Callable[[Recording], Finding]
    at_quiescence: bool = True

    @property
    def claim(self) -> str:
        """The claim as a sentence: the first paragraph of the function's docstring."""
        return " ".join((self.function.__doc__ or self.name).strip().split("\n\n")[0].split())


@dataclass(frozen=True, slots=True)
class Judgement:
    """A finding with its verdict; `tolerated` are the kinds that the guarantee allows in this run."""

    checker: Checker
    finding: Finding
    verdict: Verdict
    tolerated: frozenset[str] = frozenset()
    reason: str | None = None


def not_applicable(reason: str) -> Finding:
    """A checker that says nothing about this run."""
    return Finding({}, not_applicable=reason)


def found(examined: Mapping[str, int], anomalies: Iterable[Anomaly]) -> Finding:
    """A finding from a short, complete list of anomalies: counts each kind and keeps the first few."""
    counts: dict[str, int] = {}
    shown: list[Anomaly] = []
    for anomaly in anomalies:
        kept = sum(example.kind == anomaly.kind for example in shown)
        counts[anomaly.kind] = counts.get(anomaly.kind, 0) + anomaly.count
        if kept < EXAMPLES_A_KIND:
            shown.append(anomaly)
    return Finding(examined, counts, tuple(shown))


def merged(findings: Iterable[Finding]) -> Finding:
    """Several findings as one: counts and examined add up."""
    examined: dict[str, int] = {}
    counts: dict[str, int] = {}
    anomalies: list[Anomaly] = []
    reasons = []
    for finding in findings:
        for total, part in ((examined, finding.examined), (counts, finding.counts)):
            for name, number in part.items():
                total[name] = total.get(name, 0) + number
        anomalies.extend(finding.anomalies)
        reasons.extend([finding.unknown] if finding.unknown else [])
    return Finding(examined, counts, tuple(anomalies), unknown="; ".join(reasons) or None)


def run_checker(checker: Checker, recording: Recording) -> Finding:
    """The finding of a checker; a crash, a missing file or an unfinished run becomes a reason not to know."""
    if checker.at_quiescence and recording.incomplete:
        return Finding({}, unknown=f"the run is incomplete: {recording.incomplete}")
    try:
        return checker.function(recording)
    except Missing as missing:
        return Finding({}, unknown=str(missing))
    except (duckdb.Error, ArithmeticError, LookupError, TypeError, ValueError, OSError) as error:
        line = str(error).splitlines()[0] if str(error) else ""
        return Finding({}, unknown=f"the checker failed: {type(error).__name__}: {line}")


def judge(checker: Checker, finding: Finding, *, tolerates: frozenset[str]) -> Judgement:
    """INVALID for any kind that is not tolerated; UNKNOWN where it could not be known or nothing was examined."""
    tolerated = frozenset(finding.counts) & tolerates
    if any(count > 0 for kind, count in finding.counts.items() if kind not in tolerates):
        return Judgement(checker, finding, Verdict.INVALID, tolerated, finding.unknown)
    if finding.not_applicable:
        return Judgement(checker, finding, Verdict.VALID, tolerated, f"not applicable: {finding.not_applicable}")
    if finding.unknown:
        return Judgement(checker, finding, Verdict.UNKNOWN, tolerated, finding.unknown)
    if not any(finding.examined.values()):
        return Judgement(checker, finding, Verdict.UNKNOWN, tolerated, "nothing was examined")
    return Judgement(checker, finding, Verdict.VALID, tolerated)
