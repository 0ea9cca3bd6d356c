"""What is conserved is checked per entity, then in total: sums alone hide errors that compensate each other.

`balances` is a fact table with a row an entity: entity, initial, final (null = no such row), change (what the accepted
operations and finished sagas add up to), indefinite (the signed changes of operations of unknown outcome, a list).
`steps` has a row a change: entity, before, after; `looks` a row a refusal: entity, seen (the balance that refused).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from verifiers.checker import EXAMPLES_A_KIND, Anomaly, Finding, found, merged
from verifiers.recording import Recording
from verifiers.rules import Rule, Subject, breaches

FEASIBLE_MAX = 200_000
"""Sums looked at for one entity before the answer is: not known."""


@dataclass(frozen=True, slots=True)
class Account:
    """The fact tables of one kind of balance: `noun` of the entity (`user`), `quantity` in words (`credit`)."""

    noun: str
    quantity: str
    balances: str
    steps: str
    looks: str

    @property
    def subject(self) -> Subject:
        """The rows of `balances` as a subject of rules."""
        return Subject(self.balances, "entity", self.noun)


def conserved(recording: Recording, account: Account) -> Finding:
    """final = initial + change for each entity, up to some assignment of its indefinite operations; never below 0."""
    quantity = account.quantity
    differs = "final IS NOT NULL AND initial IS NOT NULL AND final <> initial + change"
    told = f"concat('{quantity} is ', final, ' but should be ', initial + change, ' = ', initial, ' at first ', "
    told += "CASE WHEN change < 0 THEN '- ' ELSE '+ ' END, abs(change))"
    rules = (
        Rule("lost-row", "final IS NULL", f"'the row of this {account.noun} is gone'"),
        Rule("phantom-row", "initial IS NULL", f"'the row of this {account.noun} came from nowhere'"),
        Rule("negative-balance", "final < 0", f"concat('{quantity} is ', final)"),
        Rule("balance-difference", f"{differs} AND len(indefinite) = 0", told),
    )
    finding = breaches(recording, account.subject, rules)
    doubtful = recording.rows(
        f"""SELECT entity, final - initial - change, indefinite FROM "{account.balances}"
            WHERE {differs} AND len(indefinite) > 0"""
    )
    return merged((finding, total_conserved(recording, account), weigh(account, doubtful)))


def total_conserved(recording: Recording, account: Account) -> Finding:
    """The totals agree too, where no operation is indefinite. They follow from the entities unless rows are missing."""
    row = recording.rows(
        f'SELECT sum(initial), sum(change), sum(final), sum(len(indefinite)), count(*) FROM "{account.balances}"'
    )[0]
    initial, change, final, indefinite, entities = (int(cell or 0) for cell in row)
    if indefinite or initial + change == final:
        return Finding({"totals": min(entities, 1)})
    sentence = f"all {account.quantity} is {final} but should be {initial + change}"
    return found({"totals": 1}, [Anomaly("balance-difference", "total", sentence, subject="total")])


def weigh(account: Account, doubtful: Iterable[tuple[str, int, list[int]]]) -> Finding:
    """Entities with indefinite operations: some subset of them must explain the difference."""
    anomalies = []
    undecided = 0
    for entity, difference, changes in doubtful:
        feasible = is_feasible(int(difference), changes)
        if feasible is None:
            undecided += 1
        elif not feasible:
            none = f"none of its {len(changes)} indefinite operations explain"
            sentence = f"{account.quantity} differs by {difference}, which {none}"
            anomalies.append(Anomaly("balance-difference", entity, sentence, subject=account.noun))
    finding = found({}, anomalies)
    if not undecided:
        return finding
    reason = f"{undecided} {account.noun}s have too many indefinite operations to decide"
    return Finding({}, finding.counts, finding.anomalies, unknown=reason)


def is_feasible(difference: int, changes: Iterable[int]) -> bool | None:
    """Whether some of the changes add up to the difference; None where there are too many sums to look at."""
    sums = {0}
    for change in changes:
        sums |= {total + change for total in sums}
        if len(sums) > FEASIBLE_MAX:
            return None
    return difference in sums


def history_is_a_chain(recording: Recording, account: Account) -> Finding:
    """Each balance after a change is the balance before exactly one other: nothing changed a balance unseen.

    Per entity the multiset {after of every change} + {initial} equals {before of every change} + {final}; compared by
    sums of 64-bit hashes. Entities with indefinite operations are skipped. A refusal must have seen a balance of the
    chain.
    """
    known = f"""SELECT entity FROM "{account.balances}"
        WHERE len(indefinite) = 0 AND initial IS NOT NULL AND final IS NOT NULL"""
    broken = f"{account.balances}_broken"
    recording.once(
        broken,
        f"""SELECT entity FROM (
              SELECT entity, hash(after)::HUGEINT - hash(before)::HUGEINT AS h FROM "{account.steps}"
              UNION ALL SELECT entity, hash(initial)::HUGEINT - hash(final)::HUGEINT FROM "{account.balances}")
            WHERE entity IN ({known}) GROUP BY entity HAVING sum(h) <> 0""",
    )
    examined = {
        f"{account.quantity} changes": recording.number(f'SELECT count(*) FROM "{account.steps}"'),
        f"{account.quantity} refusals": recording.number(f'SELECT count(*) FROM "{account.looks}"'),
    }
    count = recording.number(f'SELECT count(*) FROM "{broken}"')
    names = recording.rows(f'SELECT entity FROM "{broken}" ORDER BY length(entity), entity LIMIT {EXAMPLES_A_KIND}')
    anomalies = [
        Anomaly("phantom-effect", name, gap(recording, account, name), subject=account.noun) for (name,) in names
    ]
    counts = {"phantom-effect": count} if count else {}
    return merged((Finding(examined, counts, tuple(anomalies)), refusals_saw(recording, account, known)))


def refusals_saw(recording: Recording, account: Account, known: str) -> Finding:
    """Each refusal saw a balance that there was."""
    unseen = f"{account.balances}_unseen"
    recording.once(
        unseen,
        f"""SELECT entity, seen FROM "{account.looks}" ANTI JOIN (
              SELECT entity, after AS seen FROM "{account.steps}"
              UNION ALL SELECT entity, initial FROM "{account.balances}") USING (entity, seen)
            WHERE entity IN ({known})""",
    )
    sentence = f"concat('a refusal saw {account.quantity} ', seen, ', which it never was')"
    rule = Rule("phantom-effect", "true", sentence)
    return breaches(recording, Subject(unseen, "entity", account.noun), (rule,), examined={})


def gap(recording: Recording, account: Account, entity: str) -> str:
    """The values at which the chain of one entity is torn, as a sentence."""
    rows = recording.rows(
        f"""SELECT value, sum(n) AS n FROM (
              SELECT after AS value, 1 AS n FROM "{account.steps}" WHERE entity = ?
              UNION ALL SELECT before, -1 FROM "{account.steps}" WHERE entity = ?
              UNION ALL SELECT initial, 1 FROM "{account.balances}" WHERE entity = ?
              UNION ALL SELECT final, -1 FROM "{account.balances}" WHERE entity = ?)
            GROUP BY value HAVING sum(n) <> 0 ORDER BY value""",
        (entity,) * 4,
    )
    left = [str(value) for value, n in rows if n > 0][:3]
    came = [str(value) for value, n in rows if n < 0][:3]
    places = f"left at {', '.join(left) or '-'} and found at {', '.join(came) or '-'}"
    return f"{account.quantity} was {places}, with nothing between"
