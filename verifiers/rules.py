"""Claims as rows: a rule says when a row of a fact table is an anomaly. All rules of a table are counted in one scan.

Examples are fetched only for what was found, so a legal history of millions of rows costs one pass and no Python
object.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from verifiers.checker import EXAMPLES_A_KIND, Anomaly, Finding
from verifiers.recording import Recording


@dataclass(frozen=True, slots=True)
class Rule:
    """`where` (SQL over the table's columns; null counts as false) holds exactly for the rows that are anomalies of
    `kind`; `explanation` is an SQL expression that tells a reader in one sentence what is wrong with such a row."""

    kind: str
    where: str
    explanation: str


@dataclass(frozen=True, slots=True)
class Subject:
    """What the rows of a fact table are about: `entity` is the SQL expression of its name, `noun` the word for it."""

    table: str
    entity: str
    noun: str


def breaches(
    recording: Recording, subject: Subject, rules: Sequence[Rule], *, examined: Mapping[str, int] | None = None
) -> Finding:
    """The anomalies of a fact table. `examined` defaults to the number of its rows."""
    filters = ", ".join(f"count(*) FILTER (WHERE {rule.where})" for rule in rules)
    total, *numbers = recording.rows(f'SELECT count(*), {filters} FROM "{subject.table}"')[0]
    counts: dict[str, int] = {}
    anomalies: list[Anomaly] = []
    for rule, number in zip(rules, numbers, strict=True):
        if number:
            counts[rule.kind] = counts.get(rule.kind, 0) + number
            anomalies.extend(examples(recording, subject, rule))
    return Finding(examined if examined is not None else {f"{subject.noun}s": total}, counts, tuple(anomalies))


def repeats(recording: Recording, subject: Subject) -> Finding:
    """The entities that have more than one row in a fact table: a key that is not one."""
    table = f"{subject.table}_repeated"
    recording.once(
        table,
        f'SELECT {subject.entity} AS entity, count(*) AS n FROM "{subject.table}" GROUP BY ALL HAVING count(*) > 1',
    )
    rule = Rule("phantom-row", "true", f"concat('this {subject.noun} has ', n, ' rows')")
    return breaches(recording, Subject(table, "entity", subject.noun), (rule,), examined={})


def examples(recording: Recording, subject: Subject, rule: Rule) -> list[Anomaly]:
    """The first few rows that break a rule, in the order of their names."""
    statement = (
        f'SELECT {subject.entity} AS entity, {rule.explanation} FROM "{subject.table}" WHERE {rule.where} '
        f"ORDER BY length(entity), entity LIMIT {EXAMPLES_A_KIND}"
    )
    return [
        Anomaly(rule.kind, str(entity), str(sentence), subject=subject.noun)
        for entity, sentence in recording.rows(statement)
    ]
