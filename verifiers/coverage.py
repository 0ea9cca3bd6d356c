"""How many spans cover an offset: a step function a partition, so that records join it by one search and not by a
range.
"""

from verifiers.recording import Recording


def cover(recording: Recording, table: str, spans: str) -> None:
    """Creates `table(name, partition, since, n)`: from offset `since` on, `n` of the spans cover. `spans` is a
    statement that gives name, partition, first_offset, last_offset."""
    recording.once(
        table,
        f"""WITH spans AS ({spans}), edges AS (
              SELECT name, partition, first_offset AS since, 1 AS step FROM spans
              UNION ALL SELECT name, partition, last_offset + 1, -1 FROM spans)
        SELECT name, partition, since, sum(sum(step)) OVER (PARTITION BY name, partition ORDER BY since)::BIGINT AS n
        FROM edges GROUP BY name, partition, since""",
    )


def covered(records: str, name: str, table: str, column: str) -> str:
    """A statement: the rows of `records` (which have partition and offset) of this topic, and in `column` how many
    spans of `table` cover each."""
    return f"""SELECT r.*, coalesce(c.n, 0) AS {column} FROM {records} r
        ASOF LEFT JOIN (SELECT * FROM "{table}" WHERE name = '{name}') c
            ON c.partition = r.partition AND r."offset" >= c.since"""
