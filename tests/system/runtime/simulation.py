"""A fake log, fake tables and workers that walk the real step machine, moved by a list of numbers: the same list, the
same history.

What may go wrong at every step: a crash, a partition that moves while its old owner still holds a batch (a zombie), a
transaction that is rolled back or whose commit's fate is unknown, a record that is not acknowledged.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from system.runtime.guarantees import Ended, Guarantee, Position, Step, advance, next_step

BATCH = 3
DRAIN_STEPS_MAX = 10_000


@dataclass
class Member:
    """A worker: its place in the loop, the partitions that it believes to own with its next offsets, its batch."""

    position: Position = field(default_factory=Position)
    fetch: dict[int, int] = field(default_factory=dict)
    batch: list[tuple[int, int]] = field(default_factory=list)
    owed: dict[int, int] = field(default_factory=dict)


@dataclass
class World:
    """`log[p]` are the keys of partition p, `owner[p]` its member as the broker sees it."""

    guarantee: Guarantee
    log: Sequence[Sequence[str]]
    members: list[Member]
    committed: list[int]
    owner: list[int]
    effects: Counter[str] = field(default_factory=Counter)
    inbox: set[str] = field(default_factory=set)
    replies: Counter[str] = field(default_factory=Counter)
    disturbed: bool = False

    def step(self, number: int, luck: int) -> None:
        """Member `number` takes its next step; `luck` above 1 lets it end badly where it can."""
        member = self.members[number]
        step = next_step(self.guarantee, member.position)
        if step is Step.EXIT:
            self.crash(number)
            return
        ended = {
            Step.POLL: self._poll,
            Step.STATE: self._state,
            Step.PRODUCE: self._produce,
            Step.COMMIT: self._commit,
        }[step](number, luck)
        member.position = advance(self.guarantee, member.position, ended)

    def crash(self, number: int) -> None:
        """SIGKILL: all that it had in memory is gone; it comes back and owns what the broker says."""
        self.disturbed = True
        owned = {p: self.committed[p] for p, owner in enumerate(self.owner) if owner == number}
        self.members[number] = Member(fetch=owned)

    def move(self, partition: int, to: int) -> None:
        """The broker gives a partition away; the old owner does not know until it polls."""
        if self.owner[partition] != to:
            self.disturbed = True
            self.owner[partition] = to

    def drain(self) -> None:
        """Nothing goes wrong any more: every member works until all is committed."""
        for _ in range(DRAIN_STEPS_MAX):
            at_rest = all(not member.batch and member.position.index == 0 for member in self.members)
            if at_rest and self.committed == [len(keys) for keys in self.log]:
                return
            for number in range(len(self.members)):
                self.step(number, 0)
        raise AssertionError(f"never drained: committed {self.committed} of {[len(keys) for keys in self.log]}")

    def _poll(self, number: int, _luck: int) -> Ended:
        member = self.members[number]
        owned = [p for p, owner in enumerate(self.owner) if owner == number]
        member.fetch = {p: member.fetch.get(p, self.committed[p]) for p in owned}
        member.batch = []
        for p in owned:
            begin = member.fetch[p]
            taken = [(p, offset) for offset in range(begin, min(begin + BATCH, len(self.log[p])))]
            member.fetch[p] = begin + len(taken)
            member.batch += taken
        member.owed = {p: offset for p, offset in member.owed.items() if p in owned}
        if not member.batch:
            self._settle(member)
        return Ended.DONE if member.batch else Ended.EMPTY

    def _state(self, number: int, luck: int) -> Ended:
        if luck == 2:
            return Ended.ROLLED_BACK
        if luck == 3:
            self.disturbed = True
            return Ended.UNKNOWN
        for p, offset in self.members[number].batch:
            key = self.log[p][offset]
            if self.guarantee.inbox and key in self.inbox:
                continue
            self.inbox.add(key)
            self.effects[key] += 1
        if luck == 4:
            self.disturbed = True
            return Ended.UNKNOWN
        return Ended.DONE

    def _produce(self, number: int, luck: int) -> Ended:
        batch = self.members[number].batch
        sent = batch[: len(batch) // 2] if luck == 2 else batch
        self.replies.update(self.log[p][offset] for p, offset in sent)
        if luck in (2, 3):
            self.disturbed = True
            return Ended.FAILED
        return Ended.DONE

    def _commit(self, number: int, luck: int) -> Ended:
        member = self.members[number]
        member.owed.update({p: offset + 1 for p, offset in member.batch})
        if luck == 3 and self.guarantee.commit_period_s:
            member.batch = []
            return Ended.POSTPONED
        if luck == 2 or any(self.owner[p] != number for p in member.owed):
            self.disturbed = True
            return Ended.FAILED
        self._settle(member)
        if self.guarantee.steps[-1] is Step.COMMIT:
            member.batch = []
        return Ended.DONE

    def _settle(self, member: Member) -> None:
        for p, offset in member.owed.items():
            self.committed[p] = max(self.committed[p], offset)
        member.owed = {}


def simulate(guarantee: Guarantee, log: Sequence[Sequence[str]], choices: Sequence[int], *, members: int = 2) -> World:
    """Lets each number of `choices` pick what happens next, heals, drains, and returns the world at rest."""
    partitions = len(log)
    world = World(
        guarantee, log, [Member() for _ in range(members)], [0] * partitions, [p % members for p in range(partitions)]
    )
    for choice in choices:
        number, rest = choice % members, choice // members
        what, detail = rest % 8, rest // 8
        if what == 6:
            world.crash(number)
        elif what == 7:
            world.move(detail % partitions, number)
        else:
            world.step(number, detail % 6 if what == 5 else 0)
    for number in range(members):
        member = world.members[number]
        if member.position.index < 0:
            world.crash(number)
    world.drain()
    return world
