"""Every hand-over of a partition between members of a group, and the change of members that caused it.

A hand-over begins when the owner gives the partition up, loses it or dies (paused: when it was stopped), and ends with
the first new record that was processed there: one behind everything that was processed before. Time in which no record
was there to be processed is not counted, and where none came before the taker gave it up, died or was paused in its
turn there is nothing to tell of it. Times are CLOCK_MONOTONIC ns.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from bench.measure.hops import Journal
from bench.measure.quantiles import Integers
from verifiers.ownership import service_of

JOIN, LEAVE, CRASH, PAUSE = "join", "leave", "crash", "pause"
KINDS: Final = (JOIN, LEAVE, CRASH, PAUSE)
ASKED_TO_END: Final = (0, None, -15, 143)
"""Exit codes of a process that ended by itself or on SIGTERM: a leave, no crash."""
GIVEN_UP: Final = ("partitions-revoked", "partitions-lost")
STRUCK_BEFORE_NS: Final = 2_000_000_000
"""A death is that of a failpoint or kill which struck the process at most so long before it was noticed."""
NEVER: Final = 2**63 - 1

Event = Mapping[str, Any]
CreatedNs = Callable[[str, int, int], int]
"""(full topic, partition, offset) → when the record was created, 0 where nobody knows."""


@dataclass(frozen=True, slots=True)
class Change:
    """A member of `service` joined, left, crashed or was paused."""

    kind: str
    service: str
    process: str
    at_ns: int


@dataclass(frozen=True, slots=True)
class Handover:
    """`begin_ns`: given up; `assigned_ns`: taken (0: by nobody); `processed_ns`: the first new record (0: none came).

    `idle_ns` of the time between was spent without a record to be processed; `overlap_ns`: how long both said that it
    was theirs.
    """

    topic: str
    partition: int
    service: str
    begin_ns: int
    assigned_ns: int
    processed_ns: int
    idle_ns: int
    overlap_ns: int

    @property
    def first_record_ms(self) -> float | None:
        """From giving up to the first new record, idle time left out."""
        return (self.processed_ns - self.begin_ns - self.idle_ns) / 1e6 if self.processed_ns else None


def changes(events: Sequence[Event], *, begin_ns: int, end_ns: int) -> list[Change]:
    """The changes of members between two moments, in time order.

    A join is dated by the start of its process, a leave by its first revocation, a crash by what struck the process.
    """
    workers = {str(row["process"]) for row in events if row["event"] == "partitions-assigned"}
    found = []
    for number, row in enumerate(events):
        process, at_ns = str(row.get("process")), int(row["monotonic_ns"])
        if row["event"] == "fault-struck" and str(row.get("fault")).startswith("pause:"):
            names = (row.get("hit") or {}).get("processes") or ()
            found += [Change(PAUSE, service_of(name), name, at_ns) for name in names if name in workers]
        elif process in workers and row["event"] == "process-started":
            found.append(Change(JOIN, service_of(process), process, at_ns))
        elif process in workers and row["event"] == "process-exited":
            kind = LEAVE if row.get("exit_code") in ASKED_TO_END else CRASH
            found.append(Change(kind, service_of(process), process, _cause_ns(events[:number], row, kind)))
    return sorted((one for one in found if begin_ns <= one.at_ns <= end_ns), key=lambda one: one.at_ns)


def _cause_ns(before: Sequence[Event], row: Event, kind: str) -> int:
    """When the process began to leave, or was struck."""
    at_ns, process = int(row["monotonic_ns"]), row.get("process")
    found = at_ns
    for one in reversed(before):
        when = int(one["monotonic_ns"])
        if when < at_ns - STRUCK_BEFORE_NS:
            break
        hit = one.get("process") == process or process in ((one.get("hit") or {}).get("processes") or ())
        causes = GIVEN_UP if kind == LEAVE else ("failpoint-reached", "fault-struck")
        if hit and one["event"] in causes:
            found = when
    return found


def handovers(
    events: Sequence[Event], journals: Sequence[Journal], *, created_ns: CreatedNs, begin_ns: int, end_ns: int
) -> list[Handover]:
    """Those that began between two moments, in time order."""
    batches = _batches(journals)
    found = []
    for place, moves in _moves(events).items():
        rows = batches.get(place)
        found += [
            _measured(place, move, rows, created_ns)
            for move in _given_up(moves, end_ns)
            if begin_ns <= move.begin_ns <= end_ns
        ]
    return sorted(found, key=lambda one: one.begin_ns)


@dataclass(frozen=True, slots=True)
class _Move:
    """One hand-over of a partition as the events tell it."""

    owner: str
    begin_ns: int
    taker: str
    assigned_ns: int
    left_ns: int
    """When the taker gave it up, died or was paused; far away where it kept it."""
    overlap_ns: int


Place = tuple[str, int]


def _moves(events: Iterable[Event]) -> dict[Place, list[tuple[int, str, str]]]:
    """Of each (topic, partition): (when, `take` or `drop`, process), in time order; a death or a pause drops all."""
    found: dict[Place, list[tuple[int, str, str]]] = {}
    held: dict[str, set[Place]] = {}
    for row in events:
        at_ns, process, name = int(row["monotonic_ns"]), str(row.get("process")), row["event"]
        stopped = [process] if name in ("process-exited", "failpoint-reached") else []
        if name == "fault-struck" and str(row.get("fault")).startswith(("pause:", "kill:")):
            stopped = list((row.get("hit") or {}).get("processes") or ())
        for one in stopped:
            word = "pause" if str(row.get("fault")).startswith("pause:") else "drop"
            for place in held.get(one, ()):
                found[place].append((at_ns, word, one))
            if word == "drop":
                held.pop(one, None)
        mine = held.setdefault(process, set())
        for place in [(str(row.get("topic")), int(number)) for number in row.get("partitions") or ()]:
            if name == "partitions-assigned":
                mine.add(place)
                found.setdefault(place, []).append((at_ns, "take", process))
            elif name in GIVEN_UP and place in mine:
                mine.discard(place)
                found[place].append((at_ns, "drop", process))
    return found


def _given_up(moves: Sequence[tuple[int, str, str]], end_ns: int) -> list[_Move]:
    """The hand-overs of one partition. A pause without a taker was none: the owner woke up in time."""
    found: list[_Move] = []
    for number, (at_ns, word, owner) in enumerate(moves):
        if word == "take":
            continue
        later = moves[number + 1 :]
        taken = next(((when, who) for when, what, who in later if what == "take"), None)
        dropped_ns = next((when for when, what, who in later if what == "drop" and who == owner), end_ns)
        if word == "pause":
            if taken is not None and taken[0] <= dropped_ns:
                overlap_ns = max(0, dropped_ns - taken[0])
                found.append(_Move(owner, at_ns, taken[1], taken[0], _left_ns(later, *taken), overlap_ns))
            continue
        if _was_passed_on(moves[:number], owner):
            continue  # It woke up and was told at last; the partition is somebody else's already.
        when, who = taken if taken is not None else (0, "")
        found.append(_Move(owner, at_ns, who, when, _left_ns(later, when, who), 0))
    return found


def _left_ns(later: Sequence[tuple[int, str, str]], assigned_ns: int, taker: str) -> int:
    return next((at_ns for at_ns, word, who in later if who == taker and word != "take" and at_ns > assigned_ns), NEVER)


def _was_passed_on(before: Sequence[tuple[int, str, str]], owner: str) -> bool:
    takers = [who for _, what, who in before if what == "take"]
    return bool(takers) and takers[-1] != owner


@dataclass(frozen=True, slots=True)
class _Batches:
    """The batches of one partition in the order of their polls."""

    polled_ns: Integers
    done_ns: Integers
    first: Integers
    last: Integers
    process: list[str]
    highest: Integers
    """The highest offset polled up to each batch."""


def _batches(journals: Sequence[Journal]) -> dict[Place, _Batches]:
    parts: dict[Place, list[tuple[Integers, str]]] = {}
    for journal in journals:
        columns = journal.columns
        steps = [columns[name] for name in ("polled_ns", "handled_ns", "stored_ns", "produced_ns")]
        rows = np.stack([columns["polled_ns"], np.max(steps, axis=0), columns["first_offset"], columns["last_offset"]])
        keys = journal.topic.codes.astype(np.int64) << 32 | columns["partition"]
        order = np.argsort(keys, kind="stable")
        bounds = np.flatnonzero(np.diff(keys[order])) + 1
        for at in np.split(order, bounds):
            place = (journal.topic.names[int(keys[at[0]]) >> 32], int(keys[at[0]]) & 0xFFFFFFFF)
            parts.setdefault(place, []).append((rows[:, at], journal.process))
    return {place: _joined(found) for place, found in parts.items()}


def _joined(parts: Sequence[tuple[Integers, str]]) -> _Batches:
    rows = np.concatenate([rows for rows, _ in parts], axis=1)
    process = [name for rows, name in parts for _ in range(rows.shape[1])]
    order = np.argsort(rows[0], kind="stable")
    polled, done, first, last = rows[:, order]
    return _Batches(polled, done, first, last, [process[at] for at in order], np.maximum.accumulate(last))


def _measured(place: Place, move: _Move, rows: _Batches | None, created_ns: CreatedNs) -> Handover:
    processed_ns = idle_ns = 0
    if rows is not None and move.assigned_ns:
        found = _first_new(rows, move)
        born_ns = created_ns(*place, found[1]) if found is not None else NEVER
        if found is not None and born_ns <= move.left_ns:
            processed_ns = int(rows.done_ns[found[0]])
            idle_ns = max(0, born_ns - move.assigned_ns)
    return Handover(
        topic=place[0],
        partition=place[1],
        service=service_of(move.owner),
        begin_ns=move.begin_ns,
        assigned_ns=move.assigned_ns,
        processed_ns=processed_ns,
        idle_ns=min(idle_ns, max(0, processed_ns - move.assigned_ns)),
        overlap_ns=move.overlap_ns,
    )


def _first_new(rows: _Batches, move: _Move) -> tuple[int, int] | None:
    """The taker's first batch with a record behind all that was polled before the assignment, and that record."""
    before = bisect_right(rows.polled_ns, move.assigned_ns)
    highest = int(rows.highest[before - 1]) if before else -1
    for at in range(before, len(rows.process)):
        if rows.process[at] == move.taker and rows.last[at] > highest:
            return at, max(int(rows.first[at]), highest + 1)
    return None
