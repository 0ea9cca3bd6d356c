"""Batches are done again after aborts and crashes, cut in other places: under Kafka transactions each decision is heard
once, and never not at all.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from system.checkout.contract import OUTCOMES
from system.checkout.order import SUCCESS_MESSAGE, Key, doubtful, join
from system.kafka.batch import Batch
from system.runtime.pending import PartitionPending, apply_change, rebuild

VALUES = {"pay": ["psuccess", 7], "stock": ["ssuccess", []]}


@dataclass
class Partition:
    """One partition of outcomes, the decisions that are durable, and what a `read_committed` reader has heard."""

    log: Sequence[tuple[int, str]]
    decided: set[Key] = field(default_factory=set)
    heard: Counter[Key] = field(default_factory=Counter)
    committed: int = 0
    low: int = 0
    pending: PartitionPending = field(default_factory=PartitionPending)

    def batch(self, size: int) -> Batch:
        """The next records, as polled from the committed offset."""
        rows = range(self.committed, min(self.committed + size, len(self.log)))
        keys = [(str(self.log[row][0]), 1) for row in rows]
        return Batch(OUTCOMES, [0] * len(rows), list(rows), keys, [VALUES[self.log[row][1]] for row in rows])

    def work(self, size: int, fate: str) -> None:
        """One batch: decided in the database, then its Kafka transaction is committed, aborted or lost in a crash."""
        batch, pending = self.batch(size), {0: self.pending}
        known = {key: ("success", [SUCCESS_MESSAGE]) for key in doubtful(batch, pending) if key in self.decided}
        done = join(batch, known, pending)
        end = self.committed + len(batch)
        if self.decided & done.decisions.keys():
            # Refused by the table: done again with open eyes.
            self.pending.horizon = max(self.pending.horizon, end)
            self.work(size, fate)
            return
        self.decided |= done.decisions.keys()
        if fate == "crash":
            self.come_up()
        elif fate == "abort":
            self.pending.horizon = max(self.pending.horizon, end)
        else:
            # L is that of the batches before, which are visible.
            self.low, self.pending.published = self.pending.low(), self.pending.low()
            self.heard.update([*done.decisions, *done.resent])
            apply_change(pending, done.change, {0: end})
            self.committed = end

    def look(self) -> None:
        """Forgets halves that have waited since the last look and are decided, as the low watermark does."""
        for key in self.pending.long_waiting():
            if key in self.decided:
                del self.pending.halves[key]

    def come_up(self) -> None:
        """Another member reads back what is half-finished; it takes nothing before the log's end for new."""
        rows = range(self.low, self.committed)
        records = [(row, (str(self.log[row][0]), 1), self.log[row][1], VALUES[self.log[row][1]]) for row in rows]
        decided = {key for _, key, _, _ in records} & self.decided
        self.pending = rebuild(records, decided, pos=self.committed, published=self.low, horizon=len(self.log))


LOGS = st.lists(st.sampled_from([(number, half) for number in range(5) for half in VALUES]), unique=True, min_size=2)
STEPS = st.lists(st.tuples(st.integers(1, 4), st.sampled_from(["commit", "abort", "crash", "look"])), max_size=30)


@settings(max_examples=1500, deadline=None)
@given(log=LOGS, steps=STEPS)
def test_a_decision_is_heard_exactly_once_however_its_batches_are_cut(
    log: list[tuple[int, str]], steps: list[tuple[int, str]]
) -> None:
    partition = Partition(log)
    for size, fate in [*steps, *[(2, "commit")] * len(log)]:
        partition.look() if fate == "look" else partition.work(size, fate)
    whole = {(str(number), 1) for number, _ in log if all((number, half) in log for half in VALUES)}
    assert partition.heard == Counter(whole)
    assert set(partition.pending.halves) == {(str(number), 1) for number, _ in log} - whole
