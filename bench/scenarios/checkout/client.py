"""The clients of `checkout` as the driver drives them: everything that a run of this scenario needs, from its spec.

Two lanes: sagas, whose batches are one local transaction and two records an order; and all other operations, which are
rare and pay a transaction a service for whatever has gathered.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from bench.scenarios.checkout.describe import describer
from bench.scenarios.checkout.knobs import parse_knobs
from bench.scenarios.checkout.outcome_reader import OutcomeReader
from bench.scenarios.checkout.sessions import OPERATING_ERRORS, CheckoutSession, DirectSession, error_name
from bench.scenarios.checkout.workload import CHECKOUT, Operations, Workload, generate
from bench.spec import RunSpec
from loadgen.operations import Describe
from loadgen.target import FateUnknown, Lane, NotApplied, Target
from system.checkout.checkout import Client
from system.runtime.guarantees import GUARANTEES, Guarantee
from system.runtime.observer import Observer

SESSIONS = 2
GATHER_S = 0.04
DIRECT_GATHER_S = 0.08


def workload_of(spec: RunSpec) -> Workload:
    """Population and operations, the same in every process of the run."""
    return generate(parse_knobs(spec.settings), operations=spec.operations, seed=spec.seed)


def describe(spec: RunSpec) -> Describe:
    """What the run's operations were called on the wire."""
    return describer(workload_of(spec).operations, prefix=spec.prefix)


def open_load(spec: RunSpec, observer: Observer, failpoint: Callable[[str], None]) -> Target:
    """The target of a run. What an earlier driver began and did not live to produce is produced first.

    Raises psycopg.Error, KafkaException or `Unacknowledged` where a server is not there.
    """
    workload = workload_of(spec)
    reader = OutcomeReader(spec.connection, prefix=spec.prefix, partitions=spec.partitions, observer=observer)
    clients = _Clients(spec, observer, failpoint, threading.Event())
    first = clients.open("checkout", GUARANTEES[spec.guarantee])
    first.recover()
    first.close()
    operations = workload.operations
    saga = operations.kind == CHECKOUT
    sagas = Lane(
        name="sagas",
        operations=np.flatnonzero(saga),
        open_session=partial(clients.open_checkout, operations),
        # A recovery must be alone: what another session is about to commit would look missing to it.
        sessions=1 if GUARANTEES[spec.guarantee].transactions else SESSIONS,
        gather_s=GATHER_S,
    )
    direct = Lane(
        name="direct",
        operations=np.flatnonzero(~saga),
        open_session=partial(clients.open_direct, operations),
        sessions=1,
        gather_s=DIRECT_GATHER_S,
    )
    return Target(
        lanes=(sagas, direct),
        entities=workload.population.orders,
        outcomes=reader.outcomes,
        left_behind=clients.left_behind,
    )


@dataclass(frozen=True)
class _Clients:
    """Opens clients of a run. `unproduced`: a batch failed; the next session produces what it began."""

    spec: RunSpec
    observer: Observer
    failpoint: Callable[[str], None]
    unproduced: threading.Event

    def open(self, name: str, guarantee: Guarantee) -> Client:
        return Client(
            dsn=self.spec.dsn,
            prefix=self.spec.prefix,
            connection=self.spec.connection,
            name=name,
            observer=self.observer,
            failpoint=self.failpoint,
            guarantee=guarantee,
        )

    def open_checkout(self, operations: Operations) -> CheckoutSession:
        client = self._opened("checkout", GUARANTEES[self.spec.guarantee])
        if self.unproduced.is_set():
            self.unproduced.clear()
            try:
                client.recover()
            except OPERATING_ERRORS as error:
                self.unproduced.set()
                client.close()
                raise FateUnknown(error_name(error)) from error
        return CheckoutSession(client, operations, self.unproduced)

    def left_behind(self) -> str:
        """Requests that no later session produces any more."""
        if not self.unproduced.is_set() or GUARANTEES[self.spec.guarantee].loses:
            return ""
        return "orders were begun whose requests the broker did not acknowledge in time"

    def open_direct(self, operations: Operations) -> DirectSession:
        # What it writes to the log is poison, which no guarantee speaks of.
        return DirectSession(self._opened("direct", GUARANTEES["idempotent"]), operations)

    def _opened(self, name: str, guarantee: Guarantee) -> Client:
        try:
            return self.open(name, guarantee)
        except OPERATING_ERRORS as error:
            raise NotApplied(error_name(error)) from error
