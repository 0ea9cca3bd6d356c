"""L4, L5 at the level of the log: keys keep their partition, and workers consume what they own, in order, without a
gap.

An epoch of a worker ends with every change of its assignment, with a restart and with a redelivery that it reports;
across epochs the same offsets may come again, within one they may not.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from verifiers.checker import EXAMPLES_A_KIND, Anomaly, Finding, merged, not_applicable
from verifiers.murmur2 import key_partitions
from verifiers.recording import Recording
from verifiers.rules import Rule, Subject, breaches

ROWS_A_BLOCK: Final = 1 << 18
_TURNS: Final = "('process-started', 'partitions-assigned', 'partitions-revoked', 'partitions-lost', 'redelivered')"
SPAN: Final = Subject("spans", "concat(process, ' ', name, '[', partition, ']@', first_offset)", "span")


def keys_keep_their_partition(recording: Recording, topics: Sequence[str]) -> Finding:
    """L5: every key stands in the partition that murmur2 gives it. Records in the table `bad_records` are left out."""
    partitions = recording.knob("partitions")
    if not isinstance(partitions, int) or partitions < 1:
        return Finding({}, unknown="run.json does not say how many partitions the topics have")
    return merged(_misplaced(recording, topic, partitions) for topic in topics)


def _misplaced(recording: Recording, topic: str, partitions: int) -> Finding:
    recording.need(f"topics/{topic}")
    bad = [
        _place(partition, offset)
        for partition, offset in recording.rows('SELECT partition, "offset" FROM bad_records WHERE topic = ?', (topic,))
    ]
    examined, count = 0, 0
    shown: list[Anomaly] = []
    for block in recording.blocks(f"topics/{topic}", ("partition", "offset", "key"), rows=ROWS_A_BLOCK):
        keys = block.column(2).fill_null(b"").cast(pa.binary())
        expected = key_partitions(keys, partitions)
        actual, offsets = block.column(0).to_numpy().astype(np.int64), block.column(1).to_numpy()
        sound = ~np.isin(_place(actual, offsets), np.array(bad, np.int64))
        wrong = np.flatnonzero((expected != actual) & sound)
        examined, count = examined + len(keys), count + len(wrong)
        for row in wrong[: EXAMPLES_A_KIND - len(shown)].tolist():
            key = keys[row].as_py().decode("utf-8", "replace")
            sentence = f"stands in {topic}[{actual[row]}]@{offsets[row]} but belongs into partition {expected[row]}"
            shown.append(Anomaly("wrong-partition", key, sentence, subject="saga"))
    return Finding({"keys": examined}, {"wrong-partition": count} if count else {}, tuple(shown))


def _place(partition: Any, offset: Any) -> Any:  # noqa: ANN401 - a number or an array of them
    """Partition and offset as one integer, so that numpy can look it up."""
    return (partition << 48) + offset


def load_spans(recording: Recording) -> None:
    """Creates `spans`: the journal with the epoch of each row, the row before it, and how many records the log has
    there."""
    recording.once(
        "spans_before",
        f"""WITH turns AS (SELECT process, monotonic_ns AS at,
                row_number() OVER (PARTITION BY process ORDER BY monotonic_ns, line) AS epoch
                FROM events WHERE event IN {_TURNS})
        SELECT j.process, j.topic, bare(j.topic) AS name, j.partition, j.first_offset,
               j.last_offset,
               j.records, j.polled_ns, j.handled_ns, j.stored_ns, j.produced_ns, j.committed_ns, j.transaction,
               coalesce(t.epoch, 0) AS epoch, lag(j.last_offset) OVER turn AS before,
               max(j.stored_ns) OVER (turn ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS stored_before
        FROM journal j ASOF LEFT JOIN turns t ON j.process = t.process
            AND greatest(j.polled_ns, j.handled_ns) >= t.at
        WINDOW turn AS (PARTITION BY j.process, j.topic, j.partition, coalesce(t.epoch, 0)
                        ORDER BY j.polled_ns, j.first_offset)""",
    )
    names = [name for (name,) in recording.rows("SELECT DISTINCT name FROM spans_before ORDER BY 1")]
    counted = [_count_visible(recording, name) for name in names if recording.has(f"topics/{name}")]
    table = pa.concat_tables(counted) if counted else _counted((), (), (), (), (), ())
    recording.db.register("counted_columns", table)
    # A whole recording has every topic, so a batch of one that it does not have came from nowhere.
    known = 2 if recording.incomplete else 0
    recording.once(
        "spans",
        f"""SELECT s.*, c.* EXCLUDE (row, name) REPLACE (coalesce(edges, {known}) AS edges)
           FROM (SELECT *, row_number() OVER (PARTITION BY name
                 ORDER BY partition, first_offset, polled_ns, process) - 1 AS row FROM spans_before) s
           LEFT JOIN counted_columns c USING (name, row)""",
    )


def _counted(*columns: NDArray[Any] | Sequence[Any]) -> pa.Table:
    types = (pa.string(), *[pa.int64()] * 5)
    names = ("name", "row", "visible", "bad", "skipped", "edges")
    return pa.table({name: pa.array(column, kind) for name, kind, column in zip(names, types, columns, strict=True)})


def _count_visible(recording: Recording, name: str) -> pa.Table:
    """For each span of a topic, in order of (partition, first offset): visible and bad records in it, visible ones
    between."""
    spans = recording.columns(
        f"""SELECT partition, first_offset, last_offset, coalesce(before, first_offset - 1) AS before FROM spans_before
            WHERE name = '{name}' ORDER BY partition, first_offset, polled_ns, process"""
    )
    log = recording.columns(f'SELECT partition, "offset" FROM "topics/{name}" ORDER BY partition, "offset"')
    bad = {"partition": np.zeros(0), "offset": np.zeros(0)}
    if "bad_records" in recording.made:
        bad = recording.columns(f"SELECT partition, \"offset\" FROM bad_records WHERE topic = '{name}' ORDER BY 1, 2")
    rows = np.arange(len(spans["partition"]))
    visible, spoilt, skipped, edges = (np.zeros(len(rows), np.int64) for _ in range(4))
    for partition in np.unique(spans["partition"]).tolist():
        mine = spans["partition"] == partition
        first, last, before = (spans[column][mine] for column in ("first_offset", "last_offset", "before"))
        offsets, bads = (part["offset"][part["partition"] == partition] for part in (log, bad))
        visible[mine] = np.searchsorted(offsets, last, "right") - np.searchsorted(offsets, first, "left")
        spoilt[mine] = np.searchsorted(bads, last, "right") - np.searchsorted(bads, first, "left")
        edges[mine] = np.isin(first, offsets).astype(np.int64) + np.isin(last, offsets)
        skipped[mine] = np.searchsorted(offsets, first, "left") - np.searchsorted(offsets, before, "right")
    return _counted([name] * len(rows), rows, visible, spoilt, skipped, edges)


_CONSUMPTION: Final = (
    Rule(
        "phantom-effect",
        "edges < 2",
        "concat('to ', last_offset, ': the log has no record at its first or last offset')",
    ),
    Rule("nonmonotonic-poll", "first_offset <= before", "concat('polled again after offset ', before)"),
    Rule(
        "nonmonotonic-poll", "last_offset < first_offset OR records < 1", "concat('a span that ends at ', last_offset)"
    ),
    Rule(
        "key-reorder",
        "stored_ns > 0 AND stored_ns < stored_before",
        "concat('stored ', stored_before - stored_ns, ' ns before a batch of lower offsets')",
    ),
    Rule(
        "poll-skip",
        "skipped > 0 AND first_offset > before",
        "concat(skipped, ' records after offset ', before, ' were not polled')",
    ),
    Rule(
        "poll-skip",
        "records > visible OR records < visible - bad",
        "concat('to ', last_offset, ': processed ', records, ' records, but the log has ', visible)",
    ),
)


def consumption_follows_the_log(recording: Recording) -> Finding:
    """L4: within an epoch a worker processes each partition in the order of the log, each record once, and skips
    none."""
    load_spans(recording)
    return breaches(recording, SPAN, _CONSUMPTION)


def only_owners_consume(recording: Recording) -> Finding:
    """A worker processes only partitions that it was assigned and that were not taken from it: no `unowned-consume`."""
    owned = list(ownership(recording))
    if not owned:
        return not_applicable("no assignment was recorded")
    columns = list(zip(*owned, strict=True))
    names = ("process", "topic", "partition", "begin_ns", "end_ns")
    recording.db.register("owned_columns", pa.table(dict(zip(names, columns, strict=True))))
    recording.once("owned", "SELECT * FROM owned_columns")
    load_spans(recording)
    recording.once(
        "unowned",
        """SELECT s.* FROM spans s SEMI JOIN (SELECT DISTINCT process, topic FROM owned) USING (process, topic)
           WHERE NOT EXISTS (SELECT 1 FROM owned o WHERE o.process = s.process AND o.topic = s.topic
               AND o.partition = s.partition AND s.polled_ns <= o.end_ns
               AND greatest(s.polled_ns, s.handled_ns) >= o.begin_ns)""",
    )
    subject = Subject("unowned", SPAN.entity, "span")
    rule = Rule("unowned-consume", "true", "'processed while the partition was not assigned to this worker'")
    examined = recording.number("SELECT count(*) FROM spans")
    return breaches(recording, subject, (rule,), examined={"spans": examined, "ownerships": len(owned)})


def ownership(recording: Recording) -> Iterable[tuple[str, str, int, int, int]]:
    """(process, topic, partition, begin, end) in monotonic ns, from the assignment callbacks; an open end is the
    largest int."""
    held: dict[tuple[str, str, int], int] = {}
    rows = recording.rows(
        f"""SELECT event, process, fields->>'$.topic', partitions, monotonic_ns FROM events
            WHERE event IN {_TURNS} AND event <> 'redelivered' ORDER BY monotonic_ns, line"""
    )
    for event, process, topic, partitions, at_ns in rows:
        if event == "partitions-assigned":
            for partition in partitions or ():
                held.setdefault((process, topic, partition), at_ns)
            continue
        taken = [key for key in held if key[0] == process]
        if event != "process-started":
            taken = [key for key in taken if key[1] == topic and key[2] in set(partitions or ())]
        for key in taken:
            yield (*key, held.pop(key), at_ns)
    for key, begin_ns in held.items():
        yield (*key, begin_ns, np.iinfo(np.int64).max)
