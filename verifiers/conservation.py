"""What is conserved is checked per entity, then in total: sums alone hide errors that compensate each other.

`balances` is a fact table with a row an entity: entity, initial, final (null = no such row), change (what the accepted
operations and finished sagas add up to), indefinite (the signed changes of operations of unknown outcome, a list).
`steps` has a row a change: entity, before, after; `looks` a row a refusal: entity, seen (the balance that refused).
Operations of unknown outcome make what is legal a set, which is decided exactly (`verifiers.feasible`).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from verifiers.checker import EXAMPLES_A_KIND, Anomaly, Finding, found, merged
from verifiers.feasible import is_bridged, is_feasible
from verifiers.recording import Recording
from verifiers.rules import Rule, Subject, breaches, repeats


@dataclass(frozen=True, slots=True)
class Account:
    """The fact tables of one kind of balance: `noun` of the entity (`user`), `quantity` in words (`credit`).

    `adrift` has a row an entity whose sagas are anomalous: entity, moved (what they certainly added beside `change`),
    options (what each step of theirs that nobody answered may have added). None where a guarantee allows no such saga.
    """

    noun: str
    quantity: str
    balances: str
    steps: str
    looks: str
    adrift: str | None = None

    @property
    def subject(self) -> Subject:
        """The rows of `balances` as a subject of rules."""
        return Subject(self.balances, "entity", self.noun)


def conserved(recording: Recording, account: Account) -> Finding:
    """final = initial + change for each entity, up to some assignment of its indefinite operations; never below 0."""
    quantity = account.quantity
    told = f"concat('{quantity} is ', final, ' but should be ', initial + change, ' = ', initial, ' at first ', "
    told += "CASE WHEN change < 0 THEN '- ' ELSE '+ ' END, abs(change))"
    rules = (
        Rule("lost-row", "final IS NULL", f"'the row of this {account.noun} is gone'"),
        Rule("phantom-row", "initial IS NULL", f"'the row of this {account.noun} came from nowhere'"),
        Rule("negative-balance", "final < 0", f"concat('{quantity} is ', final)"),
        Rule("balance-difference", "difference <> 0 AND certain", told),
    )
    weighed = f"{account.balances}_weighed"
    adrift = f'"{account.adrift}"' if account.adrift else "(SELECT NULL::VARCHAR AS entity, 0 AS moved, [] AS options)"
    recording.once(
        weighed,
        f"""SELECT b.*, final - initial - change AS difference, coalesce(moved, 0) AS moved,
                   coalesce(options, [])::BIGINT[] AS options, len(indefinite) = 0 AND moved IS NULL AS certain
            FROM "{account.balances}" b LEFT JOIN {adrift} a ON a.entity = b.entity""",
    )
    repeated = repeats(recording, account.subject)
    finding = merged((breaches(recording, Subject(weighed, "entity", account.noun), rules), repeated))
    doubtful = recording.rows(
        f"""SELECT entity, difference, indefinite, moved, options FROM "{weighed}"
            WHERE difference <> 0 AND NOT certain ORDER BY length(entity), entity"""
    )
    explained = weigh(account, doubtful)
    return merged((finding, explained, total_conserved(recording, account, merged((finding, explained)))))


def total_conserved(recording: Recording, account: Account, entities: Finding) -> Finding:
    """The totals agree too, where no operation is indefinite. They follow from the entities unless rows are missing."""
    row = recording.rows(
        f'SELECT sum(initial), sum(change), sum(final), sum(len(indefinite)), count(*) FROM "{account.balances}"'
    )[0]
    initial, change, final, indefinite, count = (int(cell or 0) for cell in row)
    if indefinite or initial + change == final:
        return Finding({"totals": min(count, 1)})
    sentence = f"all {account.quantity} is {final} but should be {initial + change}"
    kind = "explained-difference" if set(entities.counts) == {"explained-difference"} else "balance-difference"
    return found({"totals": 1}, [Anomaly(kind, "total", sentence, subject="total")])


def weigh(account: Account, doubtful: Iterable[tuple[str, int, list[int], int, list[int]]]) -> Finding:
    """Entities with indefinite operations, of which some subset must explain the difference, or else the sagas that are
    listed as anomalous must."""
    anomalies = []
    undecided = 0
    for entity, difference, changes, moved, options in doubtful:
        legal = is_feasible(int(difference), changes)
        explained = is_feasible(int(difference) - int(moved), [*changes, *options]) if moved or options else False
        if legal:
            continue
        if explained:
            sentence = f"{account.quantity} differs by {difference}, as its anomalous sagas explain exactly"
            anomalies.append(Anomaly("explained-difference", entity, sentence, subject=account.noun))
        elif legal is None or explained is None:
            undecided += 1
        else:
            none = f"none of its {len(changes)} indefinite operations and {len(options)} unanswered steps explain"
            sentence = f"{account.quantity} differs by {difference}, which {none}"
            anomalies.append(Anomaly("balance-difference", entity, sentence, subject=account.noun))
    return decided(found({}, anomalies), account, undecided)


def decided(finding: Finding, account: Account, undecided: int) -> Finding:
    """The finding, not known where entities remain whose indefinite operations were too many to decide."""
    reason = f"{undecided} {account.noun}s have too many indefinite operations to decide" if undecided else None
    return Finding(finding.examined, finding.counts, finding.anomalies, unknown=reason)


def history_is_a_chain(recording: Recording, account: Account) -> Finding:
    """Each balance after a change is the balance before exactly one other: nothing changed a balance unseen.

    Per entity the multiset {after of every change} + {initial} equals {before of every change} + {final}; compared by
    sums of 64-bit hashes. Where operations are indefinite, disjoint sets of them must fill the gaps. A refusal must
    have seen a balance of the chain.
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
    chained = Finding(examined, counts, tuple(anomalies))
    return merged((chained, gaps_are_bridged(recording, account), refusals_saw(recording, account)))


def _turns(account: Account) -> str:
    """A statement: for each entity the values at which its known changes leave it (n > 0) and find it (n < 0)."""
    return f"""SELECT entity, value, sum(n)::BIGINT AS n FROM (
          SELECT entity, after AS value, 1 AS n FROM "{account.steps}"
          UNION ALL SELECT entity, before, -1 FROM "{account.steps}"
          UNION ALL SELECT entity, initial, 1 FROM "{account.balances}"
          UNION ALL SELECT entity, final, -1 FROM "{account.balances}")
        GROUP BY entity, value HAVING sum(n) <> 0"""


def gaps_are_bridged(recording: Recording, account: Account) -> Finding:
    """The chains of entities with indefinite operations: some of these fill every gap, each at most once."""
    rows = recording.rows(
        f"""SELECT entity, list(value), list(n), any_value(indefinite) FROM ({_turns(account)})
            JOIN (SELECT entity, indefinite FROM "{account.balances}" WHERE len(indefinite) > 0
                  AND initial IS NOT NULL AND final IS NOT NULL) USING (entity) GROUP BY entity ORDER BY entity"""
    )
    anomalies, undecided = [], 0
    for entity, values, numbers, changes in rows:
        left = [value for value, n in zip(values, numbers, strict=True) for _ in range(n)]
        came = [value for value, n in zip(values, numbers, strict=True) for _ in range(-n)]
        bridged = is_bridged(left, came, changes)
        undecided += bridged is None
        if bridged is False:
            anomalies.append(Anomaly("phantom-effect", entity, gap(recording, account, entity), subject=account.noun))
    return decided(found({}, anomalies), account, undecided)


def refusals_saw(recording: Recording, account: Account) -> Finding:
    """Each refusal saw a balance that there was, or one that indefinite operations may have made of such a one."""
    unseen = f"{account.balances}_unseen"
    chain = f"""SELECT entity, after AS seen FROM "{account.steps}"
        UNION SELECT entity, before FROM "{account.steps}" UNION SELECT entity, initial FROM "{account.balances}" """
    recording.once(
        unseen,
        f"""SELECT entity, seen, indefinite FROM "{account.looks}" ANTI JOIN ({chain}) USING (entity, seen)
            JOIN (SELECT entity, indefinite FROM "{account.balances}"
                  WHERE initial IS NOT NULL AND final IS NOT NULL) USING (entity)""",
    )
    sentence = f"concat('a refusal saw {account.quantity} ', seen, ', which it never was')"
    rule = Rule("phantom-effect", "len(indefinite) = 0", sentence)
    certain = breaches(recording, Subject(unseen, "entity", account.noun), (rule,), examined={})
    anomalies, undecided = [], 0
    for entity, seen, changes, values in recording.rows(
        f"""SELECT u.entity, u.seen, any_value(indefinite), list(DISTINCT c.seen) FROM "{unseen}" u
            JOIN ({chain}) c ON c.entity = u.entity WHERE len(indefinite) > 0 GROUP BY 1, 2 ORDER BY 1, 2"""
    ):
        answers = {is_feasible(seen - value, changes) for value in values}
        undecided += True not in answers and None in answers
        if answers == {False}:
            told = f"a refusal saw {account.quantity} {seen}, which it cannot have been"
            anomalies.append(Anomaly("phantom-effect", entity, told, subject=account.noun))
    return merged((certain, decided(found({}, anomalies), account, undecided)))


def gap(recording: Recording, account: Account, entity: str) -> str:
    """The values at which the chain of one entity is torn, as a sentence."""
    rows = recording.rows(f"SELECT value, n FROM ({_turns(account)}) WHERE entity = ? ORDER BY value", (entity,))
    left = [str(value) for value, n in rows if n > 0][:3]
    came = [str(value) for value, n in rows if n < 0][:3]
    places = f"left at {', '.join(left) or '-'} and found at {', '.join(came) or '-'}"
    return f"{account.quantity} was {places}, with nothing between"
