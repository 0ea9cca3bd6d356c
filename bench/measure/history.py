"""The clients' history in columns and the four latencies that it holds.

Wait is intended → sent, service is sent → acknowledged, end to end is accepted, which is acknowledged, → terminal
outcome visible to the `read_committed` reader: together they are the response, intended → outcome.

Only rows of the phase `measure` count. What never finished is entered as at least the time until the end of the drain;
what failed without an answer has a distribution of its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from bench.measure.files import Labels, integers, table
from bench.measure.quantiles import Floats, Integers, Mask

COLUMNS = (
    "kind",
    "outcome",
    "phase",
    "error",
    "entity",
    "response",
    "intended_ns",
    "sent_ns",
    "acknowledged_ns",
    "completed_ns",
)
NOT_OFFERED = "poison"
"""Records that the harness damages on purpose: part of the history, no request of a client."""


@dataclass(frozen=True)
class History:
    """A row an operation; times are CLOCK_MONOTONIC ns, 0 = never. `drained_ns` is when the harness stopped waiting.

    `leads`: the checkouts that began a saga of their own, not those that joined a running one or found the order paid.
    """

    kind: Labels
    outcome: Labels
    phase: Labels
    error: Labels
    intended_ns: Integers
    sent_ns: Integers
    acknowledged_ns: Integers
    completed_ns: Integers
    leads: Mask
    drained_ns: int

    @property
    def measured(self) -> Mask:
        """The operations that figures are stated for."""
        return self.phase.mask("measure") & ~self.kind.mask(NOT_OFFERED)

    @property
    def errors(self) -> Mask:
        """Ended without a business answer: an operating error, or an outcome that is unknown though the client left."""
        return (self.error.present() | self.outcome.mask("info")) & (self.completed_ns > 0)


@dataclass(frozen=True)
class Window:
    """The measure phase in monotonic ns: from the first intended to the last intended and to the last completed."""

    begin_ns: int
    offered_end_ns: int
    end_ns: int

    @property
    def duration_s(self) -> float:
        return max(0.0, (self.end_ns - self.begin_ns) / 1e9)


@dataclass(frozen=True)
class Durations:
    """Milliseconds of what finished, and of what had not finished when the drain ended (`censored_ms`)."""

    finished_ms: Floats
    censored_ms: Floats


def read_history(run_folder: Path, *, run: Mapping[str, Any]) -> History:
    """`operations.parquet` in columns; without the file a history of no rows."""
    found = table(run_folder / "operations.parquet", columns=COLUMNS)
    source = pa.table({}) if found is None else found
    times = {name: integers(source, name) for name in COLUMNS if name.endswith("_ns")}
    kind = Labels(source, "kind")
    return History(
        kind=kind,
        outcome=Labels(source, "outcome"),
        phase=Labels(source, "phase"),
        error=Labels(source, "error"),
        intended_ns=times["intended_ns"],
        sent_ns=times["sent_ns"],
        acknowledged_ns=times["acknowledged_ns"],
        completed_ns=times["completed_ns"],
        leads=_leads(source, checkouts=kind.mask("checkout"), times=times),
        drained_ns=_drained_ns(run, times),
    )


def _leads(source: pa.Table, *, checkouts: Mask, times: Mapping[str, Integers]) -> Mask:
    """The first operation of each (order, tr), told from the responses; without an answer, whatever was sent.

    An order that is already paid answers at once with the tr that paid it, a pending one with the running tr: both
    share their (order, tr) with an earlier operation.
    """
    order, answer = Labels(source, "entity"), Labels(source, "response")
    number = np.array([*map(_tr, answer.names), 0], dtype=np.int64)
    tr = number[answer.codes] if answer.codes.size else np.zeros(0, dtype=np.int64)
    answered = np.flatnonzero(checkouts & (tr > 0))
    answered = answered[np.argsort(times["sent_ns"][answered], kind="stable")]
    _, first = np.unique(order.codes[answered].astype(np.int64) << 32 | tr[answered], return_index=True)
    leads: Mask = checkouts & (tr == 0) & (times["sent_ns"] > 0) & (times["completed_ns"] == 0)
    leads[answered[first]] = True
    return leads


def _tr(response: str) -> int:
    """The tr# of a checkout's answer; 0 where it has none."""
    try:
        value = orjson.loads(response)
    except orjson.JSONDecodeError:
        return 0
    tr = value.get("tr") if isinstance(value, dict) else 0
    return tr if isinstance(tr, int) else 0


def _drained_ns(run: Mapping[str, Any], times: Mapping[str, Integers]) -> int:
    """The end of the last recorded phase of waiting, never before the last thing that an operation shows."""
    seen = max((int(column.max()) for column in times.values() if column.size), default=0)
    ends: list[int] = [phase["end"] for phase in phases(run) if phase["name"] in ("measure", "drain")]
    return max([seen, *ends])


def phases(run: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The phases of `run.json` that have a name, a begin and an end (monotonic ns)."""
    rows = run.get("phases") or []
    whole = [row for row in rows if isinstance(row, dict) and row.get("name") and row.get("begin") and row.get("end")]
    return [{"name": row["name"], "begin": int(row["begin"]), "end": int(row["end"])} for row in whole]


def measure_window(history: History) -> Window | None:
    """The steady state that throughput is stated for, or None where nothing was measured."""
    rows = history.measured
    intended = history.intended_ns[rows]
    if not intended.size:
        return None
    completed = history.completed_ns[rows]
    last = max(int(intended.max()), int(completed.max()))
    return Window(begin_ns=int(intended.min()), offered_end_ns=int(intended.max()), end_ns=last)


def durations(history: History, *, rows: Mask, begin: str, end: str) -> Durations:
    """From `begin` to `end` over the rows where `begin` happened; open ones as the time to the end of the drain."""
    starts: Integers = getattr(history, begin)[rows]
    ends: Integers = getattr(history, end)[rows]
    begun, done, ended = starts > 0, ends > 0, history.completed_ns[rows] > 0
    finished = (ends - starts)[begun & done] / 1e6
    open_ms = (history.drained_ns - starts)[begun & ~done & ~ended] / 1e6
    return Durations(finished_ms=finished, censored_ms=np.maximum(open_ms, 0.0))


def latencies(history: History, *, among: Mask) -> dict[str, Durations]:
    """The four headline latencies by name, over the answered and unfinished operations among some of them."""
    rows = among & ~history.errors
    produced = (history.acknowledged_ns > 0) | (history.completed_ns == 0)
    sagas = rows & history.leads
    return {
        "response_latency_ms": durations(history, rows=rows, begin="intended_ns", end="completed_ns"),
        "service_latency_ms": durations(history, rows=rows & produced, begin="sent_ns", end="acknowledged_ns"),
        "wait_ms": durations(history, rows=rows, begin="intended_ns", end="sent_ns"),
        "end_to_end_latency_ms": durations(history, rows=sagas, begin="acknowledged_ns", end="completed_ns"),
    }
