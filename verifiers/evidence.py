"""The chain of events of an entity over all topics and tables, a line an event, in time order: what an anomaly rests
on.

A scenario says where its entities occur: a `Source` is a statement over a list of names that gives (entity, at_ms,
line). Rows without a time of their own come first (`-inf`, what was seeded) or last (`inf`, what is left at
quiescence).
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import duckdb

from verifiers.checker import Anomaly, Finding
from verifiers.recording import Recording

LINES_MAX: Final = 40


@dataclass(frozen=True, slots=True)
class Source:
    """`statement` yields (entity, at_ms DOUBLE, line) for the entities in `names`, a list parameter written `$names`.
    Two macros help it: `wall_ms(ns)` of a CLOCK_MONOTONIC time, `bare(topic)` without the run's prefix."""

    subject: str
    needs: tuple[str, ...]
    statement: str


def wall_offset_ms(recording: Recording) -> float:
    """Wall clock minus CLOCK_MONOTONIC, from events that carry both; 0 where there is none."""
    row = recording.rows("SELECT median(wall_ms - monotonic_ns / 1e6) FROM events")[0]
    return float(row[0] or 0.0)


def with_evidence(recording: Recording, findings: Sequence[Finding], sources: Iterable[Source]) -> list[Finding]:
    """The same findings with the chain of events of each example. One pass over the files for all of them together."""
    wanted: defaultdict[str, set[str]] = defaultdict(set)
    for finding in findings:
        for anomaly in finding.anomalies:
            wanted[anomaly.subject].add(anomaly.entity)
    lines: defaultdict[tuple[str, str], list[tuple[float, str]]] = defaultdict(list)
    if wanted:
        recording.db.execute("CREATE OR REPLACE MACRO wall_ms(ns) AS ns / 1e6 + " + repr(wall_offset_ms(recording)))
    for source in sources:
        names = sorted(wanted.get(source.subject, ()))
        if names:
            for entity, at_ms, line in _rows(recording, source, names):
                lines[source.subject, str(entity)].append((float(at_ms), str(line)))
    chains = {key: _told(rows) for key, rows in lines.items()}
    return [
        replace(finding, anomalies=tuple(_proved(anomaly, chains) for anomaly in finding.anomalies))
        for finding in findings
    ]


def _rows(recording: Recording, source: Source, names: list[str]) -> list[tuple[str, float, str]]:
    """What a source tells; a file that is missing or torn is told as a line, as evidence never decides."""
    if not all(recording.has(view) for view in source.needs):
        return []
    try:
        found = recording.db.execute(source.statement, {"names": names}).fetchall()
    except duckdb.Error as error:
        reason = str(error).splitlines()[0]
        return [(name, float("inf"), f"({', '.join(source.needs)} could not be read: {reason})") for name in names]
    return [(str(entity), float(at_ms), str(line)) for entity, at_ms, line in found]


def _told(rows: list[tuple[float, str]]) -> tuple[str, ...]:
    rows.sort()
    times = [at for at, _ in rows if abs(at) != float("inf")]
    first = min(times, default=0.0)
    lines = [f"{_when(at, first)}  {line}" for at, line in rows]
    return (*lines[:LINES_MAX], f"… and {len(lines) - LINES_MAX} more") if len(lines) > LINES_MAX else tuple(lines)


def _when(at_ms: float, first_ms: float) -> str:
    if at_ms == float("inf"):
        return "at quiescence"
    return "before the load" if at_ms == -float("inf") else f"+{at_ms - first_ms:.1f} ms"


def _proved(anomaly: Anomaly, chains: dict[tuple[str, str], tuple[str, ...]]) -> Anomaly:
    evidence = chains.get((anomaly.subject, anomaly.entity), ())
    return replace(anomaly, evidence=anomaly.evidence + evidence)
