"""A fake log, fake tables, a fake relay and workers that walk the real step machine, moved by a list of numbers: the
same list, the same history.

What may go wrong at every step: a crash, a partition that moves while its old owner still holds a batch, a process that
is taken for dead and goes on beside its successor (a zombie), a database transaction that is rolled back or whose
commit's fate is unknown, a record or an offset whose acknowledgement is lost, a Kafka transaction that must be aborted
or that its coordinator gives up.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from system.runtime.guarantees import Ended, Guarantee, Position, Step, advance, next_step

BATCH = 3
PICKED_MAX = 4
DRAIN_ROUNDS_MAX = 2_000
KINDS = 14
"""What a choice can be: mostly a step, else a step that ends badly, a crash, a move, a zombie, a time-out."""

Answer = tuple[str, int]
"""A message and the outcome that was answered: the number of the effect that it had."""


@dataclass(slots=True)
class Member:
    """A process: its place in the loop, the partitions that it believes to own (with generation and next offset), what
    it has in hand. `epoch` is its producer's; `unclear` are outbox rows that were published and not yet deleted.
    """

    slot: int
    epoch: int
    position: Position = field(default_factory=Position)
    fetch: dict[int, int] = field(default_factory=dict)
    generation: dict[int, int] = field(default_factory=dict)
    batch: list[tuple[int, int]] = field(default_factory=list)
    owed: dict[int, int] = field(default_factory=dict)
    answers: list[Answer] = field(default_factory=list)
    stored: dict[int, Answer] = field(default_factory=dict)
    unclear: list[int] = field(default_factory=list)
    dirty: bool = True


@dataclass(slots=True)
class Transaction:
    """An open Kafka transaction of a slot: what it will show, and the offsets that it holds."""

    epoch: int
    answers: list[Answer] = field(default_factory=list)
    offsets: dict[int, int] = field(default_factory=dict)


@dataclass(slots=True)
class World:
    """`log[p]` are the messages of partition p; `owner[p]` its slot, as the broker sees it, of `generation[p]`.

    A slot without a member has died and not yet come up again. `answers` is what a `read_committed` reader sees.
    """

    guarantee: Guarantee
    log: Sequence[Sequence[str]]
    members: list[Member | None]
    committed: list[int]
    owner: list[int]
    generation: list[int]
    epochs: list[int]
    zombies: list[Member] = field(default_factory=list)
    effects: Counter[str] = field(default_factory=Counter)
    inbox: dict[str, int] = field(default_factory=dict)
    outbox: dict[int, tuple[int, Answer]] = field(default_factory=dict)
    sequence: int = 0
    answers: list[Answer] = field(default_factory=list)
    open: dict[int, Transaction] = field(default_factory=dict)
    disturbed: bool = False

    def choose(self, choice: int) -> None:
        """Lets a number pick what happens next."""
        slots = len(self.members)
        slot, rest = choice % slots, choice // slots
        kind, detail = rest % KINDS, rest // KINDS
        if kind < KINDS - 5:
            self.step(slot, 0)
        elif kind == KINDS - 5:
            self.step(slot, detail % 4)
        elif kind == KINDS - 4:
            self.crash(slot)
        elif kind == KINDS - 3:
            self.move(detail % len(self.log), slot)
        elif kind == KINDS - 2:
            self.replace(slot)
        elif detail % 2 and self.zombies:
            self._walk(self.zombies[0], detail // 2 % 4)
        else:
            self.expire(slot)

    def step(self, slot: int, luck: int) -> None:
        """The member of a slot takes its next step; `luck` above 0 lets it end badly where it can."""
        member = self.members[slot]
        if member is None:
            self._start(slot)
        else:
            self._walk(member, luck)

    def _walk(self, member: Member, luck: int) -> None:
        step = next_step(self.guarantee, member.position)
        is_zombie = self.members[member.slot] is not member
        if step is Step.EXIT or (is_zombie and step is Step.POLL):
            # A zombie that polls learns that its partitions are lost.
            self._end(member)
            return
        self.disturbed |= luck > 0
        if luck and step in self.guarantee.paced and luck == 1:
            ended = Ended.SKIPPED
            if step is Step.COMMIT:
                self._owe(member)
        else:
            ended = ACTS[step](self, member, luck)
        member.position = advance(self.guarantee, member.position, ended)

    def _end(self, member: Member) -> None:
        self.disturbed = True
        if self.members[member.slot] is member:
            self.members[member.slot] = None
        else:
            self.zombies.remove(member)

    def crash(self, slot: int) -> None:
        """SIGKILL: all that it had in memory is gone."""
        self.disturbed = True
        self.members[slot] = None

    def replace(self, slot: int) -> None:
        """It is taken for dead and goes on all the same."""
        member = self.members[slot]
        if member is not None:
            self.disturbed = True
            self.zombies = [member]
            self.members[slot] = None

    def expire(self, slot: int) -> None:
        """The coordinator gives up the open transaction of a slot and fences its producer."""
        if self.open.pop(slot, None) is not None:
            self.disturbed = True
            self.epochs[slot] += 1

    def _start(self, slot: int) -> None:
        """Its new producer fences the old one, and it joins the group anew."""
        self.epochs[slot] += 1
        self.open.pop(slot, None)
        self.members[slot] = Member(slot, self.epochs[slot])
        for p, owner in enumerate(self.owner):
            self.generation[p] += owner == slot

    def move(self, partition: int, to: int) -> None:
        """The broker gives a partition away; the old owner does not know until it polls."""
        if self.owner[partition] != to:
            self.disturbed = True
            self.owner[partition] = to
            self.generation[partition] += 1

    def drain(self) -> None:
        """Nothing goes wrong any more: everybody works until all is committed and every outbox is empty."""
        for _ in range(DRAIN_ROUNDS_MAX):
            if self._is_at_rest():
                return
            for slot in range(len(self.members)):
                self.step(slot, 0)
            for zombie in list(self.zombies):
                self._walk(zombie, 0)
        raise AssertionError(f"never drained: committed {self.committed}, outbox {self.outbox}, open {self.open}")

    def _is_at_rest(self) -> bool:
        if self.zombies or self.outbox or self.open:
            return False
        if any(committed < len(messages) for committed, messages in zip(self.committed, self.log, strict=True)):
            return False
        return all(
            member is not None
            and next_step(self.guarantee, member.position) in (Step.POLL, Step.PICK)
            and not (member.batch or member.unclear)
            for member in self.members
        )

    def _owns(self, member: Member, p: int) -> bool:
        """The broker's view: a member of an older generation is none."""
        return (
            self.owner[p] == member.slot
            and member.generation.get(p) == self.generation[p]
            and self.members[member.slot] is member
        )

    def _poll(self, member: Member, _luck: int) -> Ended:
        self._rebalance(member)
        member.batch = []
        member.answers, member.stored = [], {}
        for p, begin in member.fetch.items():
            end = min(begin + BATCH, len(self.log[p]))
            member.batch += [(p, offset) for offset in range(begin, end)]
            member.fetch[p] = end
        if not member.batch and all(self._owns(member, p) for p in member.owed):
            self._settle(member)
        return Ended.DONE if member.batch else Ended.EMPTY

    def _rebalance(self, member: Member) -> None:
        """Callbacks run inside poll: what left is forgotten, what came begins at the committed offset, once that is
        stable (KIP-447).
        """
        member.fetch = {p: offset for p, offset in member.fetch.items() if self._owns(member, p)}
        member.owed = {p: offset for p, offset in member.owed.items() if p in member.fetch}
        for p, owner in enumerate(self.owner):
            unstable = any(p in transaction.offsets for transaction in self.open.values())
            if owner == member.slot and p not in member.fetch and not unstable:
                member.fetch[p] = self.committed[p]
                member.generation[p] = self.generation[p]
                member.dirty = True

    def _state(self, member: Member, luck: int) -> Ended:
        if luck == 1:
            return Ended.ROLLED_BACK
        if luck == 2:
            return Ended.UNKNOWN
        answers = []
        for p, offset in member.batch:
            message = self.log[p][offset]
            outcome = self.inbox.get(message) if self.guarantee.inbox else None
            if outcome is None:
                self.effects[message] += 1
                outcome = self.inbox[message] = self.effects.total()
            answers.append((message, outcome))
        if self.guarantee.outbox:
            member.stored = dict(enumerate(answers, self.sequence))
            self.sequence += len(answers)
            for (n, answer), (p, _) in zip(member.stored.items(), member.batch, strict=True):
                self.outbox[n] = p, answer
        if luck == 3:
            member.dirty = True
            return Ended.UNKNOWN
        member.answers = answers
        return Ended.DONE

    def _pick(self, member: Member, _luck: int) -> Ended:
        """What this batch stored; after a change of partitions, and when idle, what the table has."""
        if member.dirty or not member.batch:
            found = [(n, a) for n, (p, a) in self.outbox.items() if p in member.fetch and n not in member.unclear]
            member.stored = dict(found[:PICKED_MAX])
            member.dirty = len(found) > PICKED_MAX
        member.answers = list(member.stored.values())
        return Ended.DONE if member.batch or member.stored or member.unclear else Ended.EMPTY

    def _clear(self, member: Member, luck: int) -> Ended:
        if luck != 2:
            for n in member.unclear:
                self.outbox.pop(n, None)
        if luck > 1:
            return Ended.FAILED
        member.unclear = []
        return self._finished(member)

    def _finished(self, member: Member) -> Ended:
        member.batch = []
        return Ended.DONE

    def _produce(self, member: Member, luck: int) -> Ended:
        sent = member.answers[: len(member.answers) // 2] if luck == 2 else member.answers
        if self.guarantee.transactions:
            if self._is_fenced(member):
                return Ended.FAILED
            self.open[member.slot].answers += sent
            return Ended.ABORTABLE if luck > 1 else Ended.DONE
        self.answers += sent
        if luck > 1:
            return Ended.FAILED
        member.unclear += member.stored
        member.stored = {}
        if self.guarantee.steps[-1] is Step.PRODUCE:
            return self._finished(member)
        return Ended.DONE

    def _begin(self, member: Member, _luck: int) -> Ended:
        if self.epochs[member.slot] != member.epoch:
            return Ended.FAILED
        self.open[member.slot] = Transaction(member.epoch)
        return Ended.DONE

    def _is_fenced(self, member: Member) -> bool:
        transaction = self.open.get(member.slot)
        return transaction is None or transaction.epoch != member.epoch

    def _offsets(self, member: Member, luck: int) -> Ended:
        if self._is_fenced(member):
            return Ended.FAILED
        if luck == 2 or not all(self._owns(member, p) for p, _ in member.batch):
            return Ended.ABORTABLE
        self.open[member.slot].offsets.update((p, offset + 1) for p, offset in member.batch)
        return Ended.ABORTABLE if luck == 3 else Ended.DONE

    def _abort(self, member: Member, luck: int) -> Ended:
        if self.guarantee.transactions:
            if self._is_fenced(member):
                return Ended.FAILED
            del self.open[member.slot]
        member.owed = {}
        for p, offset in reversed(member.batch):
            member.fetch[p] = offset
        return Ended.FAILED if luck == 2 else Ended.DONE

    def _commit(self, member: Member, luck: int) -> Ended:
        if self.guarantee.transactions:
            return self._commit_transaction(member, luck)
        self._owe(member)
        refused = Ended.ABORTABLE if self.guarantee.loses else Ended.FAILED
        if luck == 2 or not all(self._owns(member, p) for p in member.owed):
            return refused
        self._settle(member)
        if luck == 3:
            return refused
        return self._finished(member) if self.guarantee.steps[-1] is Step.COMMIT else Ended.DONE

    def _commit_transaction(self, member: Member, luck: int) -> Ended:
        if self._is_fenced(member):
            return Ended.FAILED
        if luck == 2:
            return Ended.ABORTABLE
        transaction = self.open.pop(member.slot)
        self.answers += transaction.answers
        for p, offset in transaction.offsets.items():
            self.committed[p] = max(self.committed[p], offset)
        return Ended.FAILED if luck == 3 else self._finished(member)

    def _owe(self, member: Member) -> None:
        member.owed.update({p: offset + 1 for p, offset in member.batch})

    def _settle(self, member: Member) -> None:
        for p, offset in member.owed.items():
            self.committed[p] = max(self.committed[p], offset)
        member.owed = {}


ACTS: dict[Step, Callable[[World, Member, int], Ended]] = {
    Step.POLL: World._poll,
    Step.STATE: World._state,
    Step.PICK: World._pick,
    Step.BEGIN: World._begin,
    Step.PRODUCE: World._produce,
    Step.OFFSETS: World._offsets,
    Step.COMMIT: World._commit,
    Step.CLEAR: World._clear,
    Step.ABORT: World._abort,
}
"""What each step does to the world; `luck` 0 lets it end well."""


def simulate(guarantee: Guarantee, log: Sequence[Sequence[str]], choices: Sequence[int], *, members: int = 2) -> World:
    """Lets each number of `choices` pick what happens next, heals, drains, and returns the world at rest."""
    partitions = len(log)
    world = World(
        guarantee,
        log,
        [Member(slot, 0) for slot in range(members)],
        committed=[0] * partitions,
        owner=[p % members for p in range(partitions)],
        generation=[0] * partitions,
        epochs=[0] * members,
    )
    for choice in choices:
        world.choose(choice)
    world.drain()
    return world
