"""Wrong systems of delivery: what they replace is how a batch meets its inbox, its producer, its offsets or its relay.

Their handlers are right, and without a crash at the wrong moment most of them look right too. Every one is wrong under
the guarantee that it is run with, which promises what the missing piece was there for.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from bench.scenario import Broken, Services
from bench.scenarios.checkout.broken.pieces import in_handler, in_workers
from system.kafka.batch import Batch, Outgoing, Span
from system.kafka.config import Properties
from system.kafka.producer import Acknowledged, BatchProducer
from system.runtime.effects import apply_once, replies
from system.runtime.guarantees import GUARANTEES, Step
from system.runtime.relay import Relay
from system.runtime.service import InboxHandler, Replies
from system.runtime.worker_config import WorkerConfig
from system.store import inbox, outbox
from system.store.database import Raced
from system.store.inbox import Claim
from system.store.postgres import Transaction

QUEUE_RECORDS = 24
LINGER_MS = 400
_PROMPT_OUTBOX: Final = replace(GUARANTEES["outbox"], paced=frozenset({Step.CLEAR}))


def _steps(service: str, guarantee: str, *steps: Step) -> Callable[[WorkerConfig], WorkerConfig]:
    """Workers of one service that take these steps, and none of them later than in their order."""
    return in_workers(service, guarantee=replace(GUARANTEES[guarantee], steps=steps, paced=frozenset()))


def _remembered() -> Callable[[Batch, Transaction, InboxHandler], Replies]:
    """Asks its own memory what was done, and not the table: nobody else's memory knows."""
    done: dict[Claim, str] = {}

    def apply(batch: Batch, db: Transaction, handler: InboxHandler) -> Replies:
        claims = handler.claims(batch)
        undone = handler.undone(claims)
        stored = inbox.look_up(list(undone.values()), db)
        new: dict[Claim, int] = {}
        for row, claim in enumerate(claims):
            if claim not in done:
                new.setdefault(claim, row)
        if new:
            prior = [stored.get(undone[claim]) if claim in undone else None for claim in new]
            decided = handler.handle(batch.take(list(new.values()), prior=prior), db)
            with suppress(Raced), db.transaction():  # The row that is there already tells this system nothing.
                columns = (list(new), decided.outcomes, decided.balances_after)
                inbox.store(*columns, db=db, balance_type=handler.balance_type)
            done.update(zip(new, decided.outcomes, strict=True))
        return replies(batch, [done[claim] for claim in claims], handler)

    return apply


def _pruned() -> Callable[[Batch, Transaction, InboxHandler], Replies]:
    """Empties the inbox when it comes up, before it has read again what the rows were kept for."""
    is_pruned = False

    def apply(batch: Batch, db: Transaction, handler: InboxHandler) -> Replies:
        nonlocal is_pruned
        if not is_pruned:
            db.execute("DELETE FROM inbox")
        answered = apply_once(batch, db, handler)
        is_pruned = True
        return answered

    return apply


def _uncommitted_reads(services: Services) -> Services:
    return {**services, "order": replace(services["order"], consumer={"isolation.level": "read_uncommitted"})}


def _with_an_id_of_its_own(properties: Properties) -> BatchProducer:
    """A transactional id that no other life has: nobody fences what this one leaves open."""
    return BatchProducer({**properties, "transactional.id": f"{properties['transactional.id']}-{os.getpid()}"})


class _Careless(BatchProducer):
    """Takes no notice of the error for a record that the full queue refuses; the record is gone."""

    def __init__(self, properties: Properties) -> None:
        super().__init__({**properties, "queue.buffering.max.messages": QUEUE_RECORDS})

    def send(self, outgoing: Outgoing) -> None:
        room = QUEUE_RECORDS - self._producer.in_flight()
        super().send(Outgoing(outgoing.topic, outgoing.keys[:room], outgoing.values[:room]))


class _Hasty(BatchProducer):
    """Calls a record produced when it is in the queue, where it waits for more to come."""

    def __init__(self, properties: Properties) -> None:
        super().__init__({**properties, "linger.ms": LINGER_MS})

    def flush(self) -> list[Acknowledged]:
        return self.forget()


class _Apart(BatchProducer):
    """Sends the offsets in a transaction of their own, behind that of the records."""

    def send_offsets_to_transaction(self, spans: Sequence[Span], group: bytes) -> None:
        self.commit_transaction()
        self.begin_transaction()
        super().send_offsets_to_transaction(spans, group)


class _NewestFirst(Relay):
    """Publishes two batches at a time, the newer one first."""

    def __init__(self, prefix: str) -> None:
        super().__init__(prefix)
        self._older: list[outbox.Row] = []

    def pick(self, db: Transaction, *, is_idle: bool) -> list[Outgoing] | None:
        if not is_idle and not self._older:
            self._older, self._stored = self._stored, []
            return []
        self._stored, self._older = [*self._stored, *self._older], []
        return super().pick(db, is_idle=is_idle)


class _DeletesFirst(Relay):
    """Deletes what it is about to publish."""

    def pick(self, db: Transaction, *, is_idle: bool) -> list[Outgoing] | None:
        picked = super().pick(db, is_idle=is_idle)
        # It never has anything to delete later, so a pick is always of rows: one that dies after it has lost some.
        if not picked:
            return None
        with db.transaction():
            outbox.delete([row.sequence for row in self._stored], db)
        return picked


DELIVERY: Mapping[str, Broken] = MappingProxyType(
    {
        "commit-first": Broken(
            story="pay commits its offsets before it has done anything: a batch that dies in between is never done",
            caught_by=("incomplete-saga",),
            condition="restart",
            fault="crash:pay@after-commit#4",
            worker=_steps("pay", "idempotent", Step.POLL, Step.COMMIT, Step.STATE, Step.PRODUCE),
            drain_deadline_s=6.0,
        ),
        "memory-inbox": Broken(
            story="pay asks its memory instead of the inbox: after a rebalance the next member does a batch twice",
            caught_by=("balance-difference",),
            condition="rebalance",
            fault="crash:pay@after-state#4",
            workers={"pay": 2},
            services=in_handler("pay", apply=_remembered()),
        ),
        "pruned-inbox": Broken(
            story="pay prunes its inbox when it comes up: what comes again behind that is done again",
            caught_by=("balance-difference",),
            condition="redelivery",
            fault="crash:pay@after-state#4",
            services=in_handler("pay", apply=_pruned()),
        ),
        "new-transactional-id": Broken(
            story="pay takes a new transactional id each life: nobody ends the transaction that the last one left open",
            caught_by=("stuck-lso", "incomplete-saga"),
            guarantee="transactional",
            condition="restart",
            fault="crash:pay@after-produce#4",
            worker=in_workers("pay", open_producer=_with_an_id_of_its_own),
            drain_deadline_s=6.0,
        ),
        "reads-uncommitted": Broken(
            story="order reads what is not committed: it acts on replies of a transaction that is aborted",
            caught_by=("phantom-effect", "poll-skip"),
            guarantee="transactional",
            condition="restart",
            fault="crash:pay@after-produce#4",
            services=_uncommitted_reads,
        ),
        "offsets-left-out": Broken(
            story="pay's transactions carry no offsets: its group never gets past the beginning",
            caught_by=("unprocessed",),
            exit_code=5,
            guarantee="transactional",
            worker=_steps("pay", "transactional", Step.POLL, Step.STATE, Step.BEGIN, Step.PRODUCE, Step.COMMIT),
            drain_deadline_s=3.0,
        ),
        "offsets-apart": Broken(
            story="pay's offsets go in a transaction of their own: what dies in between is answered again",
            # The batch that died may have been a single record, and that one poison.
            caught_by=("duplicate", "repeated-dead-letter"),
            guarantee="transactional",
            condition="redelivery",
            fault="crash:pay@after-offsets#4",
            worker=in_workers("pay", open_producer=_Apart),
        ),
        "swallowed-error": Broken(
            story="pay's producer swallows the error for a record that its full queue refuses",
            caught_by=("incomplete-saga",),
            worker=in_workers("pay", open_producer=_Careless),
            drain_deadline_s=3.0,
        ),
        "early-acknowledgement": Broken(
            story="pay takes its records for acknowledged before their delivery reports, and commits",
            caught_by=("incomplete-saga",),
            condition="restart",
            fault="crash:pay@after-commit#3",
            worker=in_workers("pay", open_producer=_Hasty),
            drain_deadline_s=6.0,
        ),
        "unordered-relay": Broken(
            story="pay's relay publishes two batches at a time, the newer one first",
            caught_by=("relay-reorder",),
            guarantee="outbox",
            worker=in_workers("pay", open_relay=_NewestFirst),
        ),
        "deletes-first": Broken(
            story="pay's relay deletes its rows before the broker has acknowledged them",
            caught_by=("incomplete-saga",),
            guarantee="outbox",
            condition="restart",
            fault="crash:pay@after-pick#4",
            # A batch that is committed at once does not come again and mend it.
            worker=in_workers("pay", open_relay=_DeletesFirst, guarantee=_PROMPT_OUTBOX),
            drain_deadline_s=6.0,
        ),
    }
)
"""Name → wrong system."""
