"""The verdicts as a reader meets them: one sentence for the run, a line a checker, a card a counter-example."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from reports.headline import worst
from reports.rounding import whole

CARDS_MAX: Final = 60
NOT_APPLICABLE: Final = "NOT APPLICABLE"
GATES: Final = ("safety", "liveness", "measurement")
MEANING: Final = {
    "safety": "nothing lost, doubled or charged wrongly",
    "liveness": "everything that began came to an end",
    "measurement": "the figures may be quoted",
}


@dataclass(frozen=True)
class Gate:
    """One of the three gates, what it means, its verdict and why."""

    name: str
    meaning: str
    verdict: str
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Line:
    """One checker: what it claims, how much it examined and what it found."""

    checker: str
    claim: str
    gate: str
    verdict: str
    examined: str
    found: tuple[tuple[str, str, bool], ...]
    reason: str


@dataclass(frozen=True)
class Card:
    """One counter-example with the chain of events of its entity."""

    checker: str
    kind: str
    entity: str
    count: str
    tolerated: bool
    explanation: str
    evidence: tuple[str, ...]


def gates(verdicts: Mapping[str, Any], measured: Mapping[str, Any]) -> list[Gate]:
    """Safety, liveness and measurement, the last with the reasons that the measuring stage gave."""
    validity = measured.get("validity") or {}
    said = [str(reason) for reason in (*validity.get("reasons", []), *validity.get("notes", []))]
    return [
        Gate(
            name=name,
            meaning=MEANING[name],
            verdict=worst(verdicts.get(name)),
            reasons=tuple(said) if name == "measurement" else (),
        )
        for name in GATES
    ]


def lines(verdicts: Mapping[str, Any]) -> list[Line]:
    """Every checker, those that found something first."""
    order = {"INVALID": 0, "UNKNOWN": 1, "VALID": 2, NOT_APPLICABLE: 3}
    found = [_line(row) for row in verdicts.get("checkers") or []]
    return sorted(found, key=lambda line: (order.get(line.verdict, 1), not line.found))


def _line(row: Mapping[str, Any]) -> Line:
    reason = str(row.get("reason") or "")
    idle = reason.lower().startswith("not applicable") or row.get("applicable") is False
    verdict = NOT_APPLICABLE if idle or row.get("verdict") == NOT_APPLICABLE else worst(row.get("verdict"))
    counts = _counts(row)
    examined = " · ".join(f"{whole(n)} {name.replace('_', ' ')}" for name, n in (row.get("examined") or {}).items())
    return Line(
        checker=str(row.get("checker")),
        claim=str(row.get("claim") or row.get("checker")).replace("_", " "),
        gate=str(row.get("gate") or ""),
        verdict=verdict,
        examined=examined,
        found=tuple((kind, whole(count), tolerated) for (kind, tolerated), count in counts.most_common()),
        reason=reason,
    )


def _counts(row: Mapping[str, Any]) -> Counter[tuple[str, bool]]:
    """(kind, tolerated) → how many: the complete `counts` of the checker where it gives them, else its examples'."""
    counts: Counter[tuple[str, bool]] = Counter()
    for anomaly in row.get("anomalies") or []:
        counts[str(anomaly.get("kind")), bool(anomaly.get("tolerated"))] += int(anomaly.get("count") or 1)
    complete: Mapping[str, int] = row.get("counts") or {}
    tolerated = {kind for kind, allowed in counts if allowed}
    return Counter({(kind, kind in tolerated): count for kind, count in complete.items() if count}) or counts


def cards(verdicts: Mapping[str, Any]) -> list[Card]:
    """The counter-examples, untolerated ones first, one of each checker and kind before a second."""
    found = [
        _card(str(row.get("checker")), anomaly)
        for row in verdicts.get("checkers") or []
        for anomaly in row.get("anomalies") or []
    ]
    nth: Counter[tuple[str, str, bool]] = Counter()
    ranked = []
    for card in found:
        nth[card.checker, card.kind, card.tolerated] += 1
        ranked.append((card.tolerated, nth[card.checker, card.kind, card.tolerated], card))
    return [card for *_, card in sorted(ranked, key=lambda entry: entry[:2])][:CARDS_MAX]


def _card(checker: str, anomaly: Mapping[str, Any]) -> Card:
    evidence = [str(line) for line in anomaly.get("evidence") or []]
    explanation = str(anomaly.get("explanation") or "")
    return Card(
        checker=checker,
        kind=str(anomaly.get("kind")),
        entity=str(anomaly.get("entity") or ""),
        count=whole(int(anomaly.get("count") or 1)),
        tolerated=bool(anomaly.get("tolerated")),
        explanation=explanation,
        evidence=tuple(line for line in evidence if line != explanation),
    )


def sentence(verdicts: Mapping[str, Any]) -> str:
    """What the run's verdict means, in one sentence with its numbers."""
    if not verdicts:
        return "This run has not been checked."
    found = [line for line in lines(verdicts) if line.verdict != NOT_APPLICABLE]
    bad = [line for line in found if line.verdict == "INVALID"]
    doubtful = [line for line in found if line.verdict == "UNKNOWN"]
    if bad:
        kinds = sorted({kind for line in bad for kind, _, tolerated in line.found if not tolerated})
        named = f": {', '.join(kinds)}" if kinds else ""
        return f"{_of(len(bad), len(found))} found a violation{named}."
    if doubtful:
        return f"{_of(len(doubtful), len(found))} could not tell; what is not known is not claimed."
    if worst(verdicts.get("verdict")) != "VALID":
        return "No checker found a violation; a gate of the run did."
    tolerated = sum(any(entry[2] for entry in line.found) for line in found)
    rest = f"; {tolerated} of them counted anomalies that the guarantee tolerates" if tolerated else ""
    return f"All {len(found)} checkers that apply found their invariant to hold{rest}."


def _of(some: int, all_: int) -> str:
    return f"{some} of {all_} checkers"
