"""What a choreography gives the runtime: a service is a consumer group with a handler, and nothing else.

A handler takes a batch and an open database transaction. It never sees a client, a guarantee or a failpoint, and never
commits, seeks or stores an offset, so that it can be tested with a literal batch and a database, and so that a wrong
system is the real one with one field replaced.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from system.kafka.batch import Batch, Json, Outgoing
from system.runtime.pending import Pending, PendingChange
from system.store.inbox import BalanceType, Claim
from system.store.postgres import Transaction


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What became of each record of a batch: columns as long as the batch, stored in the inbox and sent as the
    reply.
    """

    outcomes: Sequence[str]
    balances_after: Sequence[int | None] | Sequence[str | None]


@dataclass(frozen=True, slots=True)
class Replies:
    """Records to be sent, topic by topic in this order; `change`: what the batch opened and closed (see `pending`)."""

    outgoing: Sequence[Outgoing]
    change: PendingChange | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxHandler:
    """A handler behind an inbox: the runtime hands it only what is new and answers the rest from the stored outcomes.

    `handle(commands, db)` decides each record. `claims(batch)` names the logical message of each, pure.
    `undone(claims)` maps each compensation to the claim of the step that it undoes. `reply(value, outcome)` is the
    record sent for it. `apply` is how a batch meets the inbox, None: as the guarantee says (a wrong system's
    otherwise).
    """

    handle: Callable[[Batch, Transaction], Outcomes]
    claims: Callable[[Batch], list[Claim]]
    undone: Callable[[Sequence[Claim]], dict[Claim, Claim]]
    success: str
    """The outcome that a compensation may undo; assumed for it where the guarantee keeps no inbox."""
    reply: Callable[[Any, str], bytes]
    reply_topic: str
    balance_type: BalanceType = "bigint"
    apply: "Callable[[Batch, Transaction, InboxHandler], Replies] | None" = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingHandler:
    """A handler that joins records across batches: the runtime keeps its half-finished transactions a partition.

    `handle(outcomes, db, pending)` reads `pending` and reports what it opened and closed; it may take a record past its
    partition's horizon for new. `half(value)` names the half that a record is, or None for one that takes no part.
    `decided(keys, db)` are those whose decision is durable. `low_watermark_topic` is where the runtime publishes L.
    """

    handle: Callable[[Batch, Transaction, Pending], Replies]
    half: Callable[[Any], str | None]
    decided: Callable[[Sequence[Any], Transaction], set[Any]]
    low_watermark_topic: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A consumer group `name` over `topics`, with the schema `name` in the database.

    `decode_key` and `check` raise ValueError on a record that fails its schema; the message is the reason in its dead
    letter. `producer` and `consumer` are properties that differ from the house's (a wrong system's only).
    """

    name: str
    topics: Sequence[str]
    decode_key: Callable[[str], Json]
    check: Mapping[str, Callable[[Json], None]]
    handler: InboxHandler | PendingHandler
    producer: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    consumer: Mapping[str, str | int | float | bool] = field(default_factory=dict)
