"""Where the entities of the log occur, whatever the scenario: batches, partitions, transactions and single records. The
chains of events of anomalies that no saga or balance can tell."""

from collections.abc import Sequence
from typing import Final

from verifiers.evidence import Source

_NAMED: Final = "(SELECT unnest($names::VARCHAR[]) AS entity) n"
_PLACE: Final = "concat(bare(topic), '[', partition, ']')"
_BATCH: Final = """concat(process, ' had ', bare(j.topic), '[', j.partition, ']@', j.first_offset, ' to ',
    j.last_offset, ', generation ', j.generation, coalesce(', transaction ' || j.transaction, ''),
    CASE WHEN j.stored_ns = 0 THEN ', not stored' ELSE ', stored +' || (j.stored_ns - j.polled_ns) // 1000 || ' µs' END,
    CASE WHEN j.committed_ns = 0 THEN ', not committed'
         ELSE ', committed +' || (j.committed_ns - j.polled_ns) // 1000 || ' µs' END)"""
_MOVE: Final = """SELECT n.entity, wall_ms(monotonic_ns), concat(process, ' ', event, ' ', place, ', generation ',
    fields->>'$.generation') FROM (SELECT *, concat(bare(fields->>'$.topic'), '[', unnest(partitions), ']') AS place
    FROM events) e JOIN (SELECT unnest($names::VARCHAR[]) AS entity) n ON """

_SPAN: Final = Source(
    "span",
    ("journal",),
    f"""SELECT n.entity, wall_ms(j.polled_ns), {_BATCH.replace("process", "j.process")} FROM {_NAMED}
        JOIN journal own ON n.entity = concat(
            own.process, ' ', bare(own.topic), '[', own.partition, ']@', own.first_offset)
        JOIN journal j ON j.topic = own.topic AND j.partition = own.partition
            AND j.last_offset >= own.first_offset - 1 AND j.first_offset <= own.last_offset + 1""",
)
_SPAN_MOVES: Final = Source("span", ("events",), _MOVE + "place = split_part(split_part(n.entity, ' ', 2), '@', 1)")
_PARTITION: Final = Source(
    "partition",
    ("offsets",),
    f"""SELECT {_PLACE} AS entity, wall_ms(sampled_ns), concat("group", ' had committed ', committed,
               ' of ', "end", ' (', phase, ')') FROM (
            SELECT *, lag(committed) OVER part AS before, row_number() OVER (
                PARTITION BY topic, partition, "group" ORDER BY sampled_ns DESC) AS newest FROM offsets
            WINDOW part AS (PARTITION BY topic, partition, "group" ORDER BY sampled_ns))
        WHERE list_contains($names, {_PLACE}) AND (newest <= 6 OR committed < before)""",
)
_PARTITION_MOVES: Final = Source("partition", ("events",), _MOVE + "place = n.entity")
_PARTITION_END: Final = Source(
    "partition",
    ("ends",),
    f"""SELECT {_PLACE} AS entity, 'inf'::DOUBLE, concat('the log is stable to ', stable, ' and ends at ', high)
        FROM "ends" WHERE list_contains($names, {_PLACE})""",
)
_TRANSACTION: Final = Source(
    "transaction",
    ("acks",),
    f"""SELECT transaction, 'inf'::DOUBLE, concat(process, ' was told: ', {_PLACE}, ' has ', count(*), ' records from ',
               min("offset"), ' to ', max("offset")) FROM acks
        WHERE list_contains($names, transaction) GROUP BY process, topic, partition, transaction""",
)
_TRANSACTION_BATCHES: Final = Source(
    "transaction",
    ("journal",),
    f"SELECT transaction, wall_ms(polled_ns), {_BATCH} FROM journal j WHERE list_contains($names, transaction)",
)
_TRANSACTION_EVENTS: Final = Source(
    "transaction",
    ("events",),
    """SELECT fields->>'$.transaction' AS entity, wall_ms(monotonic_ns), concat(process, ' ', event) FROM events
       WHERE list_contains($names, fields->>'$.transaction')""",
)
_ACKED: Final = Source(
    "record",
    ("acks",),
    f"""SELECT concat({_PLACE}, '@', "offset") AS entity, 'inf'::DOUBLE, concat('acknowledged to ', process,
               coalesce(' in transaction ' || transaction, ''), coalesce(' with ' || error, '')) FROM acks
        WHERE list_contains($names, concat({_PLACE}, '@', "offset"))""",
)
_RECORD_BATCHES: Final = Source(
    "record",
    ("journal",),
    f"""SELECT n.entity, wall_ms(polled_ns), {_BATCH} FROM {_NAMED} JOIN journal j
        ON concat(bare(j.topic), '[', j.partition, ']') = split_part(n.entity, '@', 1)
        AND try_cast(split_part(n.entity, '@', 2) AS BIGINT) BETWEEN j.first_offset AND j.last_offset""",
)


def log_sources(topics: Sequence[str]) -> tuple[Source, ...]:
    """The sources of every scenario, and those of the records of these topics as each of the two readers saw them."""
    seen = (
        Source(
            "record",
            (f"live/{topic}",),
            f"""SELECT concat('{topic}[', partition, ']@', "offset") AS entity, wall_ms(read_ns),
                       concat('read while the load ran, hash ', hash) FROM "live/{topic}"
                WHERE list_contains($names, concat('{topic}[', partition, ']@', "offset"))""",
        )
        for topic in topics
    )
    batches = (_SPAN, _SPAN_MOVES, _PARTITION, _PARTITION_MOVES, _PARTITION_END, _ACKED, _RECORD_BATCHES)
    return (*batches, _TRANSACTION, _TRANSACTION_BATCHES, _TRANSACTION_EVENTS, *seen)
