"""Bad input: what cannot be decoded or fails its schema has its dead letter, with its source and the reason. Nothing
else has.

The scenario tells which records are bad: the table `bad_records(topic, partition, offset, reason)`, topic without
prefix.
"""

from collections.abc import Sequence
from typing import Final

from verifiers.checker import Finding, merged
from verifiers.recording import Recording
from verifiers.rules import Rule, Subject, breaches

SUFFIX: Final = ".dead-letter"
_LETTER: Final = Subject("letters", "concat(topic, '[', partition, ']@', \"offset\")", "record")
_SOURCE: Final = Subject("undelivered", "concat(topic, '[', partition, ']@', \"offset\")", "record")
_HEADERS: Final = ("source_topic", "source_partition", "source_offset", "reason")
_SAID: Final = "source_topic, ' offset ', source_offset"
_LETTERS: Final = (
    Rule(
        "malformed-dead-letter",
        " OR ".join(f"{header} IS NULL" for header in _HEADERS),
        f"'its headers do not say {', '.join(_HEADERS)}'",
    ),
    Rule("dead-lettered-and-applied", "is_sound", f"concat('its source ', {_SAID}, ' is sound')"),
    Rule("phantom-effect", "NOT is_sound AND NOT is_bad", f"concat('there is no record at ', {_SAID})"),
    Rule("repeated-dead-letter", "copy > 1", "concat('dead letter number ', copy, ' of the same record')"),
)


def bad_records_have_dead_letters(recording: Recording, topics: Sequence[str]) -> Finding:
    """Every bad record of the topics that a group reads has a dead letter; every dead letter has a bad record, once."""
    load_letters(recording)
    read = ", ".join(f"'{topic}'" for topic in topics)
    recording.once(
        "undelivered",
        f"""SELECT b.* FROM bad_records b ANTI JOIN letters l ON l.source_topic = b.topic
                AND l.source_partition = b.partition AND l.source_offset = b."offset" WHERE b.topic IN ({read})""",
    )
    loss = Rule("poison-loss", "true", "concat('it has no dead letter: ', reason)")
    count = recording.number
    examined = {
        "records": sum(count(f'SELECT count(*) FROM "topics/{topic}"') for topic in topics),
        "bad records": count("SELECT count(*) FROM bad_records"),
        "dead letters": count("SELECT count(*) FROM letters"),
    }
    rows = breaches(recording, _SOURCE, (loss,), examined=examined)
    return merged((rows, breaches(recording, _LETTER, _LETTERS, examined={})))


def load_letters(recording: Recording) -> None:
    """Creates `letters`: every dead letter with the source that its headers name, and what stands there."""
    topics = [topic for topic in recording.topics() if topic.endswith(SUFFIX)]
    parts = [f"""SELECT '{topic}' AS topic, partition, "offset", headers FROM "topics/{topic}" """ for topic in topics]
    if not parts:
        parts = ["""SELECT ''::VARCHAR AS topic, 0 AS partition, 0::BIGINT AS "offset",
                    [{'key': ''::VARCHAR, 'value': ''::BLOB}] AS headers WHERE false"""]  # fmt: skip
    sources = [topic.removesuffix(SUFFIX) for topic in topics]
    places = [f"""SELECT '{name}' AS topic, partition, "offset" FROM "topics/{name}" """ for name in sources if name]
    recording.once(
        "letters_read",
        f"""SELECT topic, partition, "offset", regexp_replace({_header("source_topic")}, ?, '') AS source_topic,
                   try_cast({_header("source_partition")} AS INT) AS source_partition,
                   try_cast({_header("source_offset")} AS BIGINT) AS source_offset, {_header("reason")} AS reason
            FROM ({" UNION ALL ".join(parts)})""".replace("?", f"'^{recording.prefix}'"),
    )
    placed = " UNION ALL ".join(
        f"""SELECT * FROM ({place}) WHERE (topic, partition, "offset") IN (
            SELECT (source_topic, source_partition, source_offset) FROM letters_read)""" for place in places
    )  # fmt: skip
    known = placed or 'SELECT topic, partition, "offset" FROM letters_read WHERE false'
    recording.once(
        "letters",
        f"""WITH known AS ({known}) SELECT l.*, b.topic IS NOT NULL AS is_bad,
                   b.topic IS NULL AND k.topic IS NOT NULL AS is_sound, row_number() OVER (
                       PARTITION BY source_topic, source_partition, source_offset
                       ORDER BY l.partition, l."offset") AS copy
            FROM letters_read l
            LEFT JOIN bad_records b ON b.topic = l.source_topic AND b.partition = l.source_partition
                AND b."offset" = l.source_offset
            LEFT JOIN known k ON k.topic = l.source_topic AND k.partition = l.source_partition
                AND k."offset" = l.source_offset""",
    )


def _header(name: str) -> str:
    return f"try(decode(list_filter(headers, lambda h: h.key = '{name}')[1].value))"
