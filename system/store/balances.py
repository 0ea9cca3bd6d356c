"""A table of balances that never fall below zero: credit of users, stock of items.

Each statement locks its rows in the order of their ids, so that two workers wait for each other. Only between the two
statements of `settle` can they deadlock, over what one of them could settle and the other could not; the server then
undoes one of the batches, which is done again.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import LiteralString

from system.store.postgres import Transaction, int_array, text_array


@dataclass(frozen=True, slots=True)
class Balances:
    """The column `balance` of `table`, by its primary key `key`. All calls are inside the caller's transaction."""

    table: LiteralString
    key: LiteralString
    balance: LiteralString

    def lock(self, ids: Iterable[str], db: Transaction) -> dict[str, int]:
        """Id → balance, held until the transaction ends; unknown ids are missing."""
        wanted = sorted(set(ids))
        if not wanted:
            return {}
        statement: LiteralString = (
            "SELECT " + self.key + ", " + self.balance + " FROM " + self.table
            + " WHERE " + self.key + " = ANY(%s::text[]) ORDER BY " + self.key + " FOR UPDATE"
        )  # fmt: skip
        return dict(db.rows(statement, (text_array(wanted),)))

    def put(self, balances: Mapping[str, int], db: Transaction) -> None:
        """Sets the balance of each id, which the caller has locked."""
        if not balances:
            return
        ids = sorted(balances)
        statement: LiteralString = (
            "UPDATE " + self.table + " t SET " + self.balance + " = v.balance"
            + " FROM unnest(%s::text[], %s::bigint[]) AS v(id, balance) WHERE t." + self.key + " = v.id"
        )  # fmt: skip
        db.later(statement, (text_array(ids), int_array(balances[name] for name in ids)))

    def settle(
        self, taken: Mapping[str, int], given: Mapping[str, int], db: Transaction
    ) -> tuple[dict[str, int], dict[str, int]]:
        """Takes and gives each id the sum of a batch at once, where its balance covers all that is taken in whatever
        order the batch stands: nearly everywhere. The others are only locked.

        Id → balance before the batch, and id → what stands in the table by now; unknown ids are missing in both.
        """
        ids = sorted(taken.keys() | given.keys())
        if not ids:
            return {}, {}
        statement: LiteralString = (
            "UPDATE " + self.table + " t SET " + self.balance + " = t." + self.balance + " - v.taken + v.given"
            + " FROM unnest(%s::text[], %s::bigint[], %s::bigint[]) AS v(id, taken, given)"
            + " WHERE t." + self.key + " = v.id AND t." + self.balance + " >= v.taken"
            + " RETURNING t." + self.key + ", t." + self.balance
        )  # fmt: skip
        sums = [int_array([each.get(name, 0) for name in ids]) for each in (taken, given)]
        settled: dict[str, int] = dict(db.rows(statement, (text_array(ids), *sums)))
        before = {name: after + taken.get(name, 0) - given.get(name, 0) for name, after in settled.items()}
        others = self.lock([name for name in ids if name not in settled], db)
        return before | others, settled | others

    def change(self, ids: Sequence[str], amounts: Sequence[int], db: Transaction) -> list[tuple[bool, int | None]]:
        """(applied, balance after) of each change, in order; one that would fall below zero changes nothing.

        An unknown id is (False, None).
        """
        balances = self.lock(ids, db)
        answers: list[tuple[bool, int | None]] = []
        for name, amount in zip(ids, amounts, strict=True):
            before = balances.get(name)
            applies = before is not None and before + amount >= 0
            if before is not None and applies:
                balances[name] = before + amount
            answers.append((applies, balances.get(name)))
        self.put(balances, db)
        return answers
