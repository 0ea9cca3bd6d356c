"""Hand-overs and what caused them, on literal events and journals."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from bench.measure.files import Labels
from bench.measure.handovers import CreatedNs, Handover, changes, handovers
from bench.measure.hops import Journal
from bench.measure.rebalance import attributed, spread

MS = 1_000_000
END = 10_000 * MS
STEPS = ("handled_ns", "stored_ns", "produced_ns")
Event = dict[str, Any]


def moved(event: str, process: str, at_ms: int, *partitions: int) -> Event:
    name = {"take": "partitions-assigned", "give": "partitions-revoked", "lose": "partitions-lost"}[event]
    return {
        "event": name,
        "process": process,
        "monotonic_ns": at_ms * MS,
        "topic": "Pay-topic",
        "partitions": [*partitions],
    }


def happened(event: str, process: str, at_ms: int, **fields: object) -> Event:
    return {"event": event, "process": process, "monotonic_ns": at_ms * MS, **fields}


def journal(process: str, *batches: tuple[int, int, int]) -> Journal:
    """Batches of partition 0: (polled at ms, first offset, last offset), done 5 ms later."""
    columns = {name: np.array([polled * MS for polled, _, _ in batches]) for name in ("polled_ns",)}
    columns |= dict.fromkeys(STEPS, columns["polled_ns"] + 5 * MS)
    columns |= {"first_offset": np.array([first for _, first, _ in batches])}
    columns |= {"last_offset": np.array([last for _, _, last in batches])}
    columns |= {"partition": np.zeros(len(batches), dtype=np.int64)}
    topic = Labels(pa.table({"topic": ["Pay-topic"] * len(batches)}), "topic")
    return Journal(process=process, topic=topic, columns=columns)


def found(events: list[Event], *journals: Journal, created_ns: CreatedNs = lambda *_: 0) -> list[Handover]:
    return handovers(events, journals, created_ns=created_ns, begin_ns=1, end_ns=END)


JOINED = [
    moved("take", "pay-0", 0, 0),
    happened("process-started", "pay-1", 900),
    moved("give", "pay-0", 1000, 0),
    moved("take", "pay-1", 1300, 0),
]


def test_a_hand_over_ends_with_the_first_record_that_is_new() -> None:
    (one,) = found(JOINED, journal("pay-0", (500, 0, 9)), journal("pay-1", (1310, 5, 9), (1400, 8, 12)))
    assert one.first_record_ms == 405
    assert one.overlap_ns == 0


def test_time_without_a_record_is_not_counted() -> None:
    journals = journal("pay-0", (500, 0, 9)), journal("pay-1", (2000, 10, 10))
    (one,) = found(JOINED, *journals, created_ns=lambda _topic, _partition, offset: 1990 * MS if offset == 10 else 0)
    assert one.first_record_ms == pytest.approx(300 + 15)


def test_a_record_that_came_when_the_taker_was_paused_in_its_turn_tells_nothing_of_the_hand_over() -> None:
    """The pause would be counted against a join that was over long before."""
    struck = happened("fault-struck", "runner", 2000, fault="pause:pay-1@1s", hit={"processes": ["pay-1"]})
    journals = journal("pay-0", (500, 0, 9)), journal("pay-1", (9000, 10, 10))

    def born(at_ms: int) -> float | None:
        (one,) = found([*JOINED, struck], *journals, created_ns=lambda *_: at_ms * MS)
        return one.first_record_ms

    assert born(2001) is None
    assert born(1999) == pytest.approx(300 + 9005 - 1999)


def test_a_record_behind_the_next_hand_over_belongs_to_that_one() -> None:
    events = [
        *JOINED,
        moved("give", "pay-1", 2000, 0),
        moved("take", "pay-0", 2100, 0),
        moved("give", "pay-0", 3000, 0),
    ]
    events.append(moved("take", "pay-1", 3050, 0))
    journals = journal("pay-0", (500, 0, 9)), journal("pay-1", (3110, 10, 10))
    times = [one.first_record_ms for one in found(events, *journals, created_ns=lambda *_: 3100 * MS)]
    assert times == [None, None, pytest.approx(50 + 15)]


def test_a_partition_that_nobody_takes_has_no_first_record() -> None:
    (one,) = found(JOINED[:3], journal("pay-0", (500, 0, 9)))
    assert (one.assigned_ns, one.first_record_ms) == (0, None)


def test_nothing_happened_where_there_are_no_events() -> None:
    assert found([]) == []
    assert changes([], begin_ns=0, end_ns=END) == []


def test_who_is_paused_owns_it_too_until_it_wakes_up() -> None:
    events = [
        moved("take", "pay-0", 0, 0),
        happened("fault-struck", "runner", 1000, fault="pause:pay-0@1s", hit={"processes": ["pay-0"]}),
        moved("take", "pay-1", 7000, 0),
        moved("lose", "pay-0", 9000, 0),
    ]
    (one,) = found(events, journal("pay-1", (7010, 0, 3)))
    assert (one.first_record_ms, one.overlap_ns) == (6015, 2000 * MS)
    assert [(change.kind, change.process) for change in changes(events, begin_ns=0, end_ns=END)] == [("pause", "pay-0")]


def test_a_pause_that_nobody_noticed_hands_nothing_over() -> None:
    struck = happened("fault-struck", "runner", 1000, fault="pause:pay-0@1s", hit={"processes": ["pay-0"]})
    assert found([moved("take", "pay-0", 0, 0), struck]) == []


def test_a_leave_begins_with_its_revocation_and_a_crash_with_what_struck() -> None:
    events = [
        moved("take", "pay-0", 0, 0),
        moved("take", "pay-1", 0, 1),
        moved("give", "pay-0", 1000, 0),
        happened("process-exited", "pay-0", 1100, exit_code=0),
        happened("failpoint-reached", "pay-1", 2000, failpoint="x"),
        happened("process-exited", "pay-1", 2100, exit_code=-9),
        happened("process-started", "pay-1", 2300),
        happened("process-exited", "driver", 2400, exit_code=-9),
    ]
    known = [
        (one.kind, one.process, one.at_ns // MS)
        for one in changes(sorted(events, key=lambda row: row["monotonic_ns"]), begin_ns=0, end_ns=END)
    ]
    assert known == [("leave", "pay-0", 1000), ("crash", "pay-1", 2000), ("join", "pay-1", 2300)]


def test_a_hand_over_belongs_to_the_last_change_of_its_own_group() -> None:
    known = changes([*JOINED, happened("process-started", "stock-0", 950)], begin_ns=0, end_ns=END)
    moves = found(JOINED, journal("pay-1", (1310, 0, 1)))
    grouped = dict(zip([change.process for change in known], attributed(known, moves), strict=True))
    assert grouped == {"pay-1": moves}


def test_a_spread_of_nothing_is_none_and_nine_of_ten_do_not_exceed_the_p90() -> None:
    assert spread([]) is None
    assert spread([float(number) for number in range(1, 11)]) == {"count": 10, "median": 5.5, "p90": 9.0, "max": 10.0}
