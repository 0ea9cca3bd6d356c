"""L1, L3: what was acknowledged is in the log, and the log is one: `lost-write`, `unseen`, `inconsistent-offsets`.

Loss is never inferred from a gap in offsets: control records leave gaps. What was acknowledged, or what a reader saw
while the load ran, must be there for the reader that comes after it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from verifiers.checker import EXAMPLES_A_KIND, Anomaly, Finding, merged, not_applicable
from verifiers.disturbance import disturbances
from verifiers.recording import Recording
from verifiers.rules import Rule, Subject, breaches
from verifiers.transactions import load_ends

ROWS_A_BLOCK: Final = 1 << 16


_RECORD: Final = "concat(name, '[', partition, ']@', \"offset\")"


def load_unread(recording: Recording) -> None:
    """Creates `unread`: acknowledged records that the reader after the run did not find. `hidden`: at or above the last
    stable offset of their partition, so an open transaction hides them; else they are not there."""
    load_ends(recording)
    parts = [
        f"""SELECT process, '{topic}' AS name, topic, partition, "offset", transaction FROM acks
            ANTI JOIN "topics/{topic}" USING (partition, "offset")
            WHERE acks.topic = '{recording.prefix}{topic}' AND error IS NULL AND "offset" >= 0"""
        for topic in recording.topics()
    ]
    recording.once(
        "unread",
        f"""SELECT u.*, coalesce("offset" >= e.stable AND (e.high IS NULL OR "offset" < e.high), false) AS hidden
            FROM ({" UNION ALL ".join(parts)}) u LEFT JOIN log_ends e USING (topic, partition)""",
    )


def _acknowledged(recording: Recording) -> dict[str, int]:
    return {"acknowledged": recording.number('SELECT count(*) FROM acks WHERE error IS NULL AND "offset" >= 0')}


def acknowledged_records_are_there(recording: Recording) -> Finding:
    """L1: every record that was acknowledged outside a transaction is in the log."""
    load_unread(recording)
    rule = Rule(
        "lost-write",
        "transaction IS NULL AND NOT hidden",
        "concat('acknowledged to ', process, ', but no read_committed reader finds it')",
    )
    lost = breaches(recording, Subject("unread", _RECORD, "record"), (rule,), examined=_acknowledged(recording))
    each = (finding(recording, topic) for topic in recording.topics() for finding in (_unreported, _reported_twice))
    return merged((lost, *each))


def _reported_twice(recording: Recording, topic: str) -> Finding:
    """One delivery report a record: with more of them than there are records, some offset was given twice."""
    mine = f"topic = '{recording.prefix}{topic}' AND error IS NULL AND \"offset\" >= 0"
    reports, lost, records = recording.rows(
        f"""SELECT (SELECT count(*) FROM acks WHERE {mine}), (SELECT count(*) FROM unread WHERE name = '{topic}'),
                   (SELECT count(*) FROM "topics/{topic}")"""
    )[0]
    if reports - lost <= records:
        return Finding({})
    subject = Subject(f"twice:{topic}", _RECORD, "record")
    recording.once(
        subject.table,
        f"""SELECT '{topic}' AS name, partition, "offset", count(*) AS n FROM acks WHERE {mine}
            GROUP BY partition, "offset" HAVING count(*) > 1""",
    )
    rule = Rule("inconsistent-offsets", "true", "concat('acknowledged ', n, ' times at one offset')")
    return breaches(recording, subject, (rule,), examined={})


def acknowledged_records_were_seen(recording: Recording) -> Finding:
    """L1: at quiescence nothing keeps an acknowledged record from its readers."""
    load_unread(recording)
    rule = Rule("unseen", "hidden", "concat('acknowledged to ', process, ', and hidden by an open transaction')")
    return breaches(recording, Subject("unread", _RECORD, "record"), (rule,), examined=_acknowledged(recording))


def _unreported(recording: Recording, topic: str) -> Finding:
    """In a quiet run every visible record has its delivery report: nobody else wrote, and no report was lost."""
    if disturbances(recording):
        return Finding({})
    recording.once(
        f"unreported:{topic}",
        f"""SELECT partition, "offset" FROM "topics/{topic}" ANTI JOIN (SELECT partition, "offset" FROM acks
            WHERE topic = '{recording.prefix}{topic}' AND error IS NULL) USING (partition, "offset")""",
    )
    subject = Subject(f"unreported:{topic}", f"concat('{topic}[', partition, ']@', \"offset\")", "record")
    rule = Rule(
        "unreported-write", "true", "'it is in the log, but no producer of the run has a delivery report of it'"
    )
    return breaches(recording, subject, (rule,), examined={})


def both_readers_saw_the_same(recording: Recording) -> Finding:
    """L3: one value per offset: the reader during the run and the reader after it agree."""
    topics = [topic for topic in recording.topics() if recording.has(f"live/{topic}")]
    if not topics:
        return not_applicable("no reader read along while the load ran")
    return merged(_compare(recording, topic) for topic in topics)


@dataclass(slots=True)
class _Differences:
    """How many places differ, and the first few of them: a topic that is wrong throughout must not fill the memory."""

    count: int = 0
    places: list[tuple[int, int]] = field(default_factory=list)

    def add(self, partitions: NDArray[Any], offsets: NDArray[Any], where: NDArray[Any]) -> None:
        """Take in the rows where the mask holds."""
        rows = np.flatnonzero(where)
        self.count += len(rows)
        shown = rows[: EXAMPLES_A_KIND - len(self.places)]
        self.places += [(int(partitions[row]), int(offsets[row])) for row in shown.tolist()]


_SENTENCES: Final = {
    "gone": ("lost-write", "a reader saw it while the load ran, the reader after the run does not find it"),
    "differs": ("inconsistent-offsets", "the two readers saw different content at this offset"),
    "passed over": ("inconsistent-offsets", "the reader during the run passed it over"),
    "order": ("inconsistent-offsets", "the dump has this offset twice or out of order"),
}


def _compare(recording: Recording, topic: str) -> Finding:
    """Both dumps of one topic, a partition as an array by offset."""
    seen = _live_hashes(recording, topic)
    found = {cause: _Differences() for cause in _SENTENCES}
    compared = 0
    last = (-1, -1)
    for partitions, offsets, hashes in _dumped_hashes(recording, topic):
        before = np.concatenate(([last[0]], partitions[:-1])), np.concatenate(([last[1]], offsets[:-1]))
        ordered = (partitions > before[0]) | ((partitions == before[0]) & (offsets > before[1]))
        found["order"].add(partitions, offsets, ~ordered)
        last = (int(partitions[-1]), int(offsets[-1]))
        for partition in np.unique(partitions).tolist():
            known, values = seen.setdefault(partition, (np.zeros(0, np.int8), np.zeros(0, np.uint64)))
            mine = np.flatnonzero((partitions == partition) & (offsets < len(known)))
            at = offsets[mine]
            compared += int(np.count_nonzero(known[at]))
            found["differs"].add(partitions[mine], at, (known[at] > 0) & (values[at] != hashes[mine]))
            found["passed over"].add(partitions[mine], at, known[at] == 0)
            known[at] = np.where(known[at] > 0, 2, known[at])
    for partition, (known, _) in seen.items():
        places = np.arange(len(known))
        found["gone"].add(np.full(len(known), partition), places, known == 1)
    return _told(topic, compared, found)


def _told(topic: str, compared: int, found: Mapping[str, _Differences]) -> Finding:
    counts: dict[str, int] = {}
    anomalies: list[Anomaly] = []
    for cause, differences in found.items():
        kind, sentence = _SENTENCES[cause]
        if differences.count:
            counts[kind] = counts.get(kind, 0) + differences.count
        names = (f"{topic}[{partition}]@{offset}" for partition, offset in differences.places)
        anomalies.extend(Anomaly(kind, name, sentence) for name in names)
    return Finding({"records read twice": compared}, counts, tuple(anomalies))


def _live_hashes(recording: Recording, topic: str) -> dict[int, tuple[NDArray[Any], NDArray[Any]]]:
    """Partition → (1 where an offset was seen, its hash), both indexed by offset."""
    columns = recording.columns(f'SELECT partition, "offset", hash FROM "live/{topic}"')
    hashes: dict[int, tuple[NDArray[Any], NDArray[Any]]] = {}
    for partition in np.unique(columns["partition"]).tolist():
        mine = columns["partition"] == partition
        offsets = columns["offset"][mine]
        known, values = np.zeros(int(offsets.max()) + 1, np.int8), np.zeros(int(offsets.max()) + 1, np.uint64)
        known[offsets] = 1
        values[offsets] = columns["hash"][mine]
        hashes[partition] = known, values
    return hashes


def _dumped_hashes(recording: Recording, topic: str) -> Iterator[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]]:
    """Blocks of (partition, offset, hash) of the dump in file order. zlib's crc32 costs less a value than numpy
    would."""
    for block in recording.blocks(f"topics/{topic}", ("partition", "offset", "key", "value"), rows=ROWS_A_BLOCK):
        keys, values = block.column(2), block.column(3)
        halves = [
            np.fromiter(map(crc32, column.fill_null(b"").to_pylist()), np.uint64, len(column))
            for column in (keys, values)
        ]
        partitions = block.column(0).to_numpy().astype(np.int64)
        if len(partitions):
            yield partitions, block.column(1).to_numpy(), halves[0] << np.uint64(32) | halves[1]
