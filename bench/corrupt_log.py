"""What can be wrong with a log, its readers and its workers in any scenario: a corruption for each kind of anomaly at
the level of the log and of the clients. Those of liveness stand in `corrupt_liveness`."""

from typing import Final

from bench.corrupt import Copy, Corruption, Row, Unfit, caught_by

_TRANSACTION: Final = "corrupt/1"
GHOST: Final = "ghost-0"
"""A process that there never was."""
_HOLDING: Final = frozenset({"no_transaction_hangs"})


def place(name: str, row: Row) -> str:
    return f"{name}[{row['partition']}]@{row['offset']}"


def _end(copy: Copy) -> Row:
    """The end of a partition that holds something, preferably of a topic that no group reads."""
    return copy.find("ends", "high > 1", "topic LIKE '%Outcome-checkout-topic' DESC, row")


def _told(copy: Copy, end: Row, transaction: str | None = None) -> str:
    """A delivery report of a record at the end of the log; its place."""
    report = {"topic": end["topic"], "partition": end["partition"], "offset": end["high"]}
    copy.add(copy.processes("acks")[0], {**report, "error": None, "transaction": transaction})
    return place(copy.bare(end["topic"]), report)


def _lose(copy: Copy) -> str:
    return _told(copy, _end(copy))


def _hide(copy: Copy) -> str:
    end = _end(copy)
    entity = _told(copy, end)
    copy.change("ends", end, high=end["high"] + 1)
    return entity


def _hold(copy: Copy) -> str:
    end = _end(copy)
    copy.change("ends", end, high=end["high"] + 3)
    return f"{copy.bare(end['topic'])}[{end['partition']}]"


def _differ(copy: Copy) -> str:
    topic = copy.bare(_end(copy)["topic"])
    row = copy.find(f"topics-live/{topic}", '"offset" > 0')
    copy.change(f"topics-live/{topic}", row, hash=row["hash"] ^ 1)
    return place(topic, row)


def _unreport(copy: Copy) -> str:
    for view in copy.processes("acks"):
        for row in copy.rows(view, "error IS NULL", limit=1):
            copy.drop(view, row)
            return place(copy.bare(row["topic"]), row)
    raise Unfit(f"{copy.folder.name}: no delivery report")


def _in_transaction(copy: Copy, records: int) -> Row:
    """Some records of one partition become those of a transaction; the end of their log."""
    end = _end(copy)
    where = f"topic = '{end['topic']}' AND partition = {end['partition']} AND error IS NULL"
    for view in copy.processes("acks"):
        rows = copy.rows(view, where, limit=records)
        for row in rows:
            copy.change(view, row, transaction=_TRANSACTION)
        if rows:
            return end
    raise Unfit(f"{copy.folder.name}: no delivery report of {end['topic']}")


def _abort(copy: Copy) -> str:
    _in_transaction(copy, 2)
    copy.event("transaction-aborted", at_ns=_last_ns(copy), process=GHOST, transaction=_TRANSACTION)
    return _TRANSACTION


def _tear(copy: Copy) -> str:
    _told(copy, _in_transaction(copy, 2), _TRANSACTION)
    return _TRANSACTION


def _last_ns(copy: Copy) -> int:
    """When the last batch had been polled."""
    last = [copy.rows(view, order="polled_ns DESC", limit=1) for view in copy.processes()]
    return max((int(row["polled_ns"]) for rows in last for row in rows), default=0)


def batches_of(copy: Copy, least: int) -> tuple[str, list[Row]]:
    """The batches of one worker and partition, at least so many, in the order of the log."""
    for view in copy.processes():
        rows = copy.rows(view, "stored_ns > 0", "polled_ns, first_offset")
        for topic, partition in sorted({(row["topic"], row["partition"]) for row in rows}):
            mine = [row for row in rows if (row["topic"], row["partition"]) == (topic, partition)]
            if len(mine) >= least:
                return view, mine
    raise Unfit(f"{copy.folder.name}: no worker had {least} batches of one partition")


def _span(copy: Copy, view: str, row: Row) -> str:
    name = copy.bare(row["topic"])
    return f"{view.removeprefix('journal/')} {name}[{row['partition']}]@{row['first_offset']}"


def _reorder(copy: Copy) -> str:
    view, batches = batches_of(copy, 2)
    late = batches[-1]["stored_ns"] + 1_000_000
    steps = ("stored_ns", "produced_ns", "committed_ns")
    copy.change(view, batches[-2], **{step: late for step in steps if batches[-2][step]})
    return _span(copy, view, batches[-1])


def _skip(copy: Copy) -> str:
    view, batches = batches_of(copy, 3)
    copy.drop(view, batches[1])
    return _span(copy, view, batches[2])


def _miss_at_handover(copy: Copy) -> str:
    view, batches = batches_of(copy, 2)
    copy.drop(view, batches[0])
    return f"{copy.bare(batches[0]['topic'])}[{batches[0]['partition']}]"


def _repoll(copy: Copy) -> str:
    view, batches = batches_of(copy, 2)
    lag = batches[-1]["stored_ns"] + 1_000_000 - batches[0]["polled_ns"]
    times = ("polled_ns", "handled_ns", "stored_ns", "produced_ns", "committed_ns")
    copy.add(view, batches[0], **{step: batches[0][step] + lag for step in times if batches[0][step]})
    return _span(copy, view, batches[0])


def _regress(copy: Copy) -> str:
    row = copy.find("offsets", "committed > 0", "sampled_ns DESC, row")
    copy.add("offsets", row, committed=row["committed"] - 1, sampled_ns=row["sampled_ns"] + 1, phase="running")
    return f"{copy.bare(row['topic'])}[{row['partition']}]"


def _commit_early(copy: Copy) -> str:
    view, batches = batches_of(copy, 1)
    copy.change(view, batches[0], committed_ns=batches[0]["polled_ns"], stored_ns=batches[0]["polled_ns"] + 1)
    return _span(copy, view, batches[0])


def _take_away(copy: Copy) -> str:
    view, batches = batches_of(copy, 1)
    last = batches[-1]
    moved = {"process": view.removeprefix("journal/"), "topic": last["topic"], "partitions": [last["partition"]]}
    copy.event("partitions-revoked", at_ns=last["polled_ns"] - 1, generation=last["generation"], **moved)
    return _span(copy, view, last)


def _haunt(copy: Copy) -> str:
    view, batches = batches_of(copy, 1)
    last = batches[-1]
    closing = max(last[step] for step in ("polled_ns", "handled_ns", "stored_ns", "produced_ns"))
    copy.change(view, last, transaction=_TRANSACTION, committed_ns=closing + 1_000)
    moved = {"process": GHOST, "topic": last["topic"], "partitions": [last["partition"]]}
    copy.event("partitions-assigned", at_ns=closing, generation=last["generation"] + 1, **moved)
    return _span(copy, view, last)


def _commit_late(copy: Copy) -> str:
    entity = _haunt(copy)
    for view in copy.processes():
        for row in copy.rows(view, f"transaction = '{_TRANSACTION}'"):
            copy.change(view, row, transaction=None)
    return entity


ALONE: Final[frozenset[str]] = frozenset()
"""No other checker need notice it."""
_UNCOVERED: Final = frozenset({"commits_follow_processing"})
CORRUPTIONS: Final[tuple[Corruption, ...]] = (
    *caught_by(
        "acknowledged_records_are_there",
        ("acked-and-gone", "lost-write", "a record was acknowledged and is in no log", _lose, ALONE),
        ("ack-dropped", "unreported-write", "a record was written by nobody", _unreport, ALONE),
    ),
    *caught_by(
        "acknowledged_records_were_seen",
        ("acked-and-hidden", "unseen", "an open transaction hides what was acknowledged", _hide, _HOLDING),
    ),
    *caught_by(
        "no_transaction_hangs",
        ("end-held", "stuck-lso", "the stable end is below the end of the log", _hold, ALONE),
    ),
    *caught_by(
        "transactions_are_whole",
        ("abort-read", "aborted-read", "records of an aborted transaction are visible", _abort, ALONE),
        ("transaction-torn", "torn-transaction", "one record of three is missing", _tear, ALONE),
    ),
    *caught_by(
        "both_readers_saw_the_same",
        ("hash-flipped", "inconsistent-offsets", "two readers saw two values at one offset", _differ, ALONE),
    ),
    *caught_by(
        "consumption_follows_the_log",
        ("stored-late", "key-reorder", "a batch is stored after the one behind it", _reorder, ALONE),
        ("batch-dropped", "poll-skip", "a batch was never polled", _skip, _UNCOVERED),
        ("batch-again", "nonmonotonic-poll", "a batch is polled again without a restart", _repoll, ALONE),
    ),
    *caught_by(
        "commits_follow_processing",
        ("commit-back", "commit-regress", "a committed offset goes back", _regress, ALONE),
        ("commit-early", "commit-ahead", "a batch is committed before it is stored", _commit_early, ALONE),
        ("first-dropped", "commit-ahead", "a new owner begins past what was left to do", _miss_at_handover, ALONE),
    ),
    *caught_by(
        "only_owners_consume",
        ("partition-revoked", "unowned-consume", "a worker goes on with what was taken away", _take_away, ALONE),
    ),
    *caught_by(
        "no_zombie_takes_effect",
        ("zombie-transaction", "zombie-effect", "a transaction is committed after the handover", _haunt, ALONE),
        ("zombie-commit", "unowned-consume", "offsets are committed after the handover", _commit_late, ALONE),
    ),
)
"""Scenario-independent corruptions of safety by the checker that must notice them."""
