"""C8: the Outc-offs protocol. P1 is audited exactly for each published L, by the `pos` header that its record carries.

For a transaction t of a partition, first(t) is the offset of its first outcome and finish(t) the offset at which it has
both. L at pos is sound exactly if no t has first(t) < L and finish(t) >= pos: with M(L) = max{finish(t) : first(t) <
L}, M(L) < pos.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from bench.scenarios.checkout.invariants.facts import load_watermarks
from bench.scenarios.checkout.invariants.records import load_records
from system.checkout.contract import OUTCOMES
from verifiers.checker import Anomaly, Finding, found, merged, not_applicable
from verifiers.recording import Recording
from verifiers.rules import Rule, Subject, breaches

_NEVER: Final = np.iinfo(np.int64).max
_RECORD: Final = Subject("watermark_rows", "concat('Outc-offs-topic[', partition, ']@', \"offset\")", "record")
_RULES: Final = (
    Rule(
        "malformed-watermark",
        "described IS NULL OR low IS NULL OR pos IS NULL",
        "'key, value or pos header is no number'",
    ),
    Rule("wrong-partition", "described <> partition", "concat('describes partition ', described)"),
    Rule("watermark-ahead", "low > pos", "concat('L ', low, ' is past the position ', pos)"),
    Rule("watermark-ahead", "pos > end_offset", "concat('the position ', pos, ' is past the end ', end_offset)"),
    Rule("watermark-regress", "low < low_before", "concat('L fell from ', low_before, ' to ', low)"),
)
Spans = Mapping[str, Any]


def load_spans(recording: Recording) -> None:
    """Creates `outcome_spans(partition, key, first, finish)`; finish is the largest integer for what never finished."""
    load_records(recording)
    recording.once(
        "outcome_spans",
        f"""WITH halves AS (SELECT partition, key,
                min("offset") FILTER (WHERE kind IN ('psuccess', 'pfail')) AS p,
                min("offset") FILTER (WHERE kind IN ('ssuccess', 'sfail')) AS s
                FROM outcome_records WHERE kind NOT IN ('canok', 'incok') GROUP BY partition, key)
        SELECT partition, key, least(p, s) AS first,
               CASE WHEN p IS NULL OR s IS NULL THEN {_NEVER} ELSE greatest(p, s) END AS finish FROM halves""",
    )


def watermark_is_sound(recording: Recording) -> Finding:
    """C8, P1: every record below a published L belongs to a finished transaction; L never falls and is never past the
    end."""
    load_spans(recording)
    load_watermarks(recording)
    recording.once(
        "watermark_rows",
        f"""WITH ends AS (SELECT partition, max("offset") + 1 AS end_offset FROM "topics/{OUTCOMES}"
                      GROUP BY partition),
            recorded AS (SELECT partition, max("end") AS recorded_end FROM offsets
                         WHERE topic = ? GROUP BY partition)
        SELECT w.*, greatest(coalesce(end_offset, 0), coalesce(recorded_end, 0)) AS end_offset,
               lag(low) OVER (PARTITION BY w.partition ORDER BY "offset") AS low_before
        FROM watermarks w LEFT JOIN ends USING (partition) LEFT JOIN recorded USING (partition)""".replace(
            "?", f"'{recording.prefix}{OUTCOMES}'"
        ),
    )
    published = {"published": recording.number("SELECT count(*) FROM watermark_rows")}
    rows = breaches(recording, _RECORD, _RULES, examined=published)
    spans = recording.columns("SELECT partition, key, first, finish FROM outcome_spans ORDER BY partition, first")
    claims = recording.columns(
        """SELECT partition, "offset", low, coalesce(pos, low) AS pos FROM watermarks
           WHERE low IS NOT NULL ORDER BY partition"""
    )
    return merged((rows, found({"transactions": len(spans["first"])}, unsound(spans, claims, "a published L"))))


def unsound(spans: Spans, claims: Spans, what: str) -> list[Anomaly]:
    """The claims (partition, low, pos) that pass over a transaction that was not finished at pos, by one search a
    partition."""
    anomalies = []
    for partition in np.unique(claims["partition"]).tolist():
        mine = {name: column[spans["partition"] == partition] for name, column in spans.items()}
        asked = {name: column[claims["partition"] == partition] for name, column in claims.items()}
        if not len(mine["first"]):
            continue
        latest = np.maximum.accumulate(mine["finish"])
        below = np.searchsorted(mine["first"], asked["low"], side="left")
        for at in np.flatnonzero((below > 0) & (latest[below - 1] >= asked["pos"])).tolist():
            key = str(mine["key"][int(np.argmax(mine["finish"][: below[at]]))])
            sentence = (
                f"{what} = {asked['low'][at]} of partition {partition} at position {asked['pos'][at]} passes over it"
            )
            anomalies.append(Anomaly("watermark-ahead", key, f"{sentence} before it finished", subject="saga"))
    return anomalies


def watermark_is_not_pinned(recording: Recording) -> Finding:
    """C8: at quiescence the last L of a partition is past the outcome that finished its last open transaction."""
    load_spans(recording)
    load_watermarks(recording)
    recording.once(
        "last_watermarks",
        f"""WITH finished AS (SELECT partition, max(finish) AS finish, arg_max(key, finish) AS key FROM outcome_spans
                WHERE finish < {_NEVER} GROUP BY partition),
            last AS (SELECT partition, arg_max(low, "offset") AS low FROM watermarks GROUP BY partition)
        SELECT partition, key, finish, low FROM finished LEFT JOIN last USING (partition)""",
    )
    rule = Rule(
        "pinned-watermark",
        "low IS NULL OR low <= finish",
        "concat('the last L of partition ', partition, ' is ', low, ', but its outcome stands at ', finish)",
    )
    return breaches(recording, Subject("last_watermarks", "key", "saga"), (rule,))


def load_rebuilds(recording: Recording) -> None:
    """Creates `rebuilds(partition, low, pos, as_of)`: what was read back on assignment, [low, pos).

    A life that ends before it commits leaves an L that it published at a position past the committed offset `pos`, if
    not L itself past it: such an L holds `as_of` that position, which its record carries.
    """
    load_watermarks(recording)
    recording.once(
        "rebuilds",
        """WITH read_back AS (
            SELECT (fields->>'$.partition')::BIGINT AS partition, (fields->>'$.from')::BIGINT AS low,
                   (fields->>'$.to')::BIGINT AS pos FROM events WHERE event = 'rebuild-finished'
            AND fields->>'$.partition' IS NOT NULL AND fields->>'$.from' IS NOT NULL AND fields->>'$.to' IS NOT NULL),
        published AS (SELECT partition, low, max(pos) AS said_at FROM watermarks GROUP BY partition, low)
        SELECT r.*, greatest(r.low, r.pos, p.said_at) AS as_of
        FROM read_back r LEFT JOIN published p USING (partition, low)""",
    )


def half_finished_at_rebuilds(recording: Recording) -> int:
    """Transactions of which a rebuild read the one half while the other stood above."""
    load_spans(recording)
    load_rebuilds(recording)
    return recording.number(
        """SELECT count(*) FROM rebuilds r JOIN outcome_spans s
           ON s.partition = r.partition AND s.first >= r.low AND s.first < r.pos AND s.finish >= r.pos"""
    )


def finished_at_rebuilds(recording: Recording) -> int:
    """Transactions that were finished when a rebuild read a record of them."""
    load_spans(recording)
    load_rebuilds(recording)
    return recording.number(
        """SELECT count(*) FROM rebuilds r JOIN outcome_spans s
           ON s.partition = r.partition AND s.finish >= r.low AND s.finish < r.pos"""
    )


def rebuilds_start_low_enough(recording: Recording) -> Finding:
    """C10: a rebuild reads from an L below which nothing was open, so a restart forgets no half-finished
    transaction."""
    load_spans(recording)
    load_rebuilds(recording)
    rebuilds = recording.columns("SELECT partition, low, as_of AS pos FROM rebuilds")
    if not len(rebuilds["low"]):
        return not_applicable("no partition was rebuilt")
    spans = recording.columns("SELECT partition, key, first, finish FROM outcome_spans ORDER BY partition, first")
    examined = {
        "rebuilds": len(rebuilds["low"]),
        "offsets rebuilt": recording.number("SELECT sum(greatest(pos - low, 0)) FROM rebuilds"),
        "half-finished at a rebuild": half_finished_at_rebuilds(recording),
    }
    return found(examined, unsound(spans, rebuilds, "a rebuild from L"))
