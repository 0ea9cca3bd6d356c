"""What can be wrong with the end of things in any scenario: records that nobody reads, operations that never end,
partitions without an owner, backlogs and rebalances that stay.
"""

from typing import Final

import orjson

from bench.corrupt import Copy, Corruption, caught_by
from bench.corrupt_log import ALONE, GHOST, batches_of

_STALLED: Final = frozenset({"progress_goes_on"})
_REGRESSED: Final = frozenset({"commits_follow_processing"})
_LONG_NS: Final = 200_000_000_000
"""Longer than any bound of liveness."""
_FAULT: Final = "pause:nobody@1s"


def _leave(copy: Copy) -> str:
    row = copy.find("offsets", "phase = 'quiescent' AND committed > 0")
    where = f"topic = '{row['topic']}' AND partition = {row['partition']} AND committed = {row['committed']}"
    last = copy.find(f"topics/{copy.bare(row['topic'])}", f"partition = {row['partition']}", '"offset" DESC')
    for sample in copy.rows("offsets", where):
        copy.change("offsets", sample, committed=last["offset"])
    return f"{copy.bare(row['topic'])}[{row['partition']}]"


def _unfinish(copy: Copy) -> str:
    row = copy.find("operations", "outcome <> 'info' AND kind = 'checkout'")
    copy.change("operations", row, outcome="info", completed_ns=0, response=None)
    return str(row["operation"])


def _hang(copy: Copy) -> str:
    begin = min(int(phase["begin"]) for phase in copy.run()["phases"] if phase["name"] in ("warm-up", "measure"))
    last, before = copy.rows("operations", "completed_ns > 0", "completed_ns DESC", limit=2)
    copy.change("operations", last, completed_ns=last["completed_ns"] + _LONG_NS)
    return f"+{(before['completed_ns'] - begin) / 1e9:.1f} s"


def _prolong(copy: Copy) -> int:
    """The drain lasts longer; where it ended before."""
    run = copy.run()
    drain = next(phase for phase in reversed(run["phases"]) if phase["name"] in ("drain", "quiesce"))
    end_ns = int(drain["end"])
    drain["end"] = end_ns + 2 * _LONG_NS
    (copy.folder / "run.json").write_bytes(orjson.dumps(run))
    copy.event("nothing", at_ns=int(drain["end"]), process=GHOST)
    return end_ns


def _abandon(copy: Copy) -> str:
    view, batches = batches_of(copy, 1)
    topic, partition = batches[-1]["topic"], batches[-1]["partition"]
    given_up = {"process": view.removeprefix("journal/"), "topic": topic, "partitions": [partition]}
    copy.event("partitions-revoked", at_ns=_prolong(copy), generation=batches[-1]["generation"], **given_up)
    return f"{copy.bare(topic)}[{partition}]"


def _lag_on(copy: Copy) -> str:
    row = copy.find("offsets", "phase = 'running'", "sampled_ns DESC, row")
    healed_ns = copy.find("offsets", order="sampled_ns DESC")["sampled_ns"] + 1
    copy.event("fault-struck", at_ns=healed_ns - 2, process="runner", fault=_FAULT, hit={})
    copy.event("fault-healed", at_ns=healed_ns, process="runner", fault=_FAULT)
    copy.add("offsets", row, committed=0, end=1_000_000, sampled_ns=healed_ns + _LONG_NS, phase="running")
    return f"{copy.bare(row['group'])} after {_FAULT}"


def _dawdle(copy: Copy) -> str:
    row = copy.find("operations", "kind = 'checkout' AND completed_ns > 0")
    copy.event("fault-struck", at_ns=row["sent_ns"] - 1, process="runner", fault=_FAULT, hit={})
    copy.event("fault-healed", at_ns=row["sent_ns"] + 1, process="runner", fault=_FAULT)
    copy.change("operations", row, completed_ns=row["completed_ns"] + _LONG_NS)
    return str(row["operation"])


def _storm(copy: Copy) -> str:
    view, batches = batches_of(copy, 1)
    last = batches[-1]
    process = view.removeprefix("journal/")
    group = copy.prefix + process.rpartition("-")[0]
    for number in range(100):
        moved = {"process": process, "group": group, "topic": last["topic"], "partitions": []}
        copy.event("partitions-assigned", at_ns=last["polled_ns"], generation=1000 + number, **moved)
    return copy.bare(group)


CORRUPTIONS: Final[tuple[Corruption, ...]] = (
    *caught_by(
        "quiescence_was_reached",
        ("tail-left", "unprocessed", "the last record was never read", _leave, ALONE),
    ),
    *caught_by(
        "every_operation_ended",
        ("operation-open", "unfinished-operation", "an operation never ended", _unfinish, ALONE),
    ),
    *caught_by(
        "progress_goes_on",
        ("system-hangs", "stalled", "nothing ends for minutes while an operation waits", _hang, ALONE),
    ),
    *caught_by(
        "every_partition_has_an_owner",
        ("partition-abandoned", "abandoned-partition", "a partition is given up and never taken", _abandon, ALONE),
    ),
    *caught_by(
        "lag_comes_back",
        ("lag-stays", "lag-remains", "a group stays behind long after the fault", _lag_on, _REGRESSED),
    ),
    *caught_by(
        "sagas_of_a_fault_end",
        ("saga-dawdles", "late-saga", "a saga of the fault ends long after it has healed", _dawdle, _STALLED),
    ),
    *caught_by(
        "rebalances_are_bounded",
        ("rebalances-for-ever", "rebalance-storm", "a group has a hundred generations for nothing", _storm, ALONE),
    ),
)
"""Scenario-independent corruptions of liveness by the checker that must notice them."""
