"""The generator's own stamps are held against the schedule of the seed and against what the runner saw."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.measure.history import History, read_history
from bench.measure.honesty import GRACE_NS, departures
from loadgen.arrival import KINDS, schedule

SECOND_NS = 10**9
BEGAN_NS = 10**12
OPERATIONS = 200
RATE_PER_S = 100.0


def asked(kind: str = "poisson", seed: int = 3, rate_per_s: float | None = RATE_PER_S) -> dict[str, Any]:
    """The part of run.json that the schedule follows from."""
    knobs = {"arrival": kind, "rate_per_s": rate_per_s, "operations": OPERATIONS}
    return {"seed": seed, "knobs": {name: {"value": value, "unit": None} for name, value in knobs.items()}}


def kept(tmp_path: Path, kind: str = "poisson", seed: int = 3) -> History:
    """The history of a generator that sent everything a millisecond after it was due."""
    intended = schedule(kind, rate_per_s=RATE_PER_S, operations=OPERATIONS, seed=seed) + BEGAN_NS
    columns = {"kind": ["checkout"] * OPERATIONS, "intended_ns": intended, "sent_ns": intended + 1_000_000}
    pq.write_table(pa.table(columns), tmp_path / "operations.parquet")
    return read_history(tmp_path, run={})


def watched(history: History) -> list[dict[str, Any]]:
    """What the runner saw of this history, twice a second."""
    moments = range(BEGAN_NS, BEGAN_NS + 3 * SECOND_NS, SECOND_NS // 2)
    sent = np.sort(history.sent_ns)
    return [
        {"event": "load-watched", "counted_ns": at, "sent": int(np.searchsorted(sent, at, side="right"))}
        for at in moments
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_a_schedule_that_was_kept_is_believed(tmp_path: Path, kind: str) -> None:
    history = kept(tmp_path, kind)
    assert departures(history, run=asked(kind), events=watched(history)) == []


def test_operations_that_the_schedule_never_reached_are_no_departure(tmp_path: Path) -> None:
    history = kept(tmp_path)
    rows = np.arange(OPERATIONS) < 50
    cut = replace(history, intended_ns=np.where(rows, history.intended_ns, 0), sent_ns=history.sent_ns * rows)
    seen = [{"event": "load-watched", "counted_ns": BEGAN_NS + SECOND_NS, "sent": 50}]
    assert departures(cut, run=asked(), events=seen) == []


@given(first=st.integers(1, OPERATIONS - 1), shift_ns=st.integers(-SECOND_NS, SECOND_NS).filter(bool))
def test_a_schedule_that_was_moved_anywhere_is_told(
    tmp_path_factory: pytest.TempPathFactory, first: int, shift_ns: int
) -> None:
    history = kept(tmp_path_factory.mktemp("moved"))
    shifted = history.intended_ns + np.where(np.arange(OPERATIONS) >= first, shift_ns, 0)
    (reason,) = departures(replace(history, intended_ns=shifted), run=asked(), events=[])
    assert reason.startswith(f"{OPERATIONS - first} operations stand up to {abs(shift_ns) / 1e6:.1f} ms")


def test_another_seed_is_another_schedule(tmp_path: Path) -> None:
    assert departures(kept(tmp_path, seed=4), run=asked(seed=3), events=[])


def test_what_is_said_to_be_sent_while_the_runner_saw_it_unsent_is_told(tmp_path: Path) -> None:
    history = kept(tmp_path)
    stalled = replace(history, sent_ns=np.maximum(history.sent_ns, BEGAN_NS + 5 * SECOND_NS))
    (reason,) = departures(history, run=asked(), events=watched(stalled))
    assert "had not sent them" in reason


def test_a_generator_whose_stamps_are_seen_a_little_late_is_believed_and_no_more(tmp_path: Path) -> None:
    history = kept(tmp_path)
    later = replace(history, sent_ns=history.sent_ns + GRACE_NS // 2)
    assert departures(history, run=asked(), events=watched(later)) == []
    too_late = replace(history, sent_ns=history.sent_ns + 2 * GRACE_NS)
    assert len(departures(history, run=asked(), events=watched(too_late))) == 1


@pytest.mark.parametrize("run", [{}, asked(rate_per_s=None)])
def test_a_closed_loop_has_no_schedule_to_leave(tmp_path: Path, run: dict[str, Any]) -> None:
    assert departures(kept(tmp_path), run=run, events=[]) == []
