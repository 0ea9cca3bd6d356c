"""What a worker is given, and the clients that follow from it: a consumer, a producer and a connection a process."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from system.kafka import config
from system.kafka.consumer import GroupConsumer
from system.kafka.producer import BatchProducer
from system.runtime.failpoints import Crash, die
from system.runtime.guarantees import Guarantee
from system.runtime.relay import Relay
from system.runtime.service import Service
from system.runtime.transactions import TIMEOUT_MS
from system.store import postgres

RECORDS_MAX = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerConfig:
    """Everything that a worker is given. `name` is service and slot (`pay-0`): client id; `prefix` leads every topic
    and group; a topic has so many `partitions`; `stopping()` ends the waiting for a server that is away. A wrong
    system replaces `open_producer`, `open_consumer`, `open_relay` and `strike` (what a crash is).
    """

    name: str
    prefix: str
    dsn: str
    connection: config.Properties
    guarantee: Guarantee
    session_timeout_ms: int = config.SESSION_TIMEOUT_MS
    membership: config.Membership = config.COOPERATIVE
    partitions: int = 1
    records_max: int = RECORDS_MAX
    crashes: Sequence[Crash] = ()
    open_producer: Callable[[config.Properties], BatchProducer] = BatchProducer
    open_consumer: Callable[..., GroupConsumer] = GroupConsumer
    open_relay: Callable[[str], Relay] = Relay
    strike: Callable[[Callable[[], None]], None] = die
    stopping: Callable[[], bool] = lambda: False

    @property
    def client_id(self) -> str:
        """The slot's own name on the cluster: client id, and transactional id over all its lives."""
        return self.prefix + self.name

    def producer(self, service: Service) -> config.Properties:
        """A producer, with transactions where the guarantee has them."""
        plain = config.producer(self.connection, client_id=self.client_id)
        if self.guarantee.transactions:
            plain = config.transactional(plain, transactional_id=self.client_id, timeout_ms=TIMEOUT_MS)
        return {**plain, **service.producer}

    def member(self, service: Service) -> config.Properties:
        """A member of the service's group."""
        plain = config.member(
            self.connection,
            client_id=self.client_id,
            group=self.prefix + service.name,
            session_timeout_ms=self.session_timeout_ms,
            how=self.membership,
            partitions=self.partitions,
        )
        return {**plain, **service.consumer}

    def connect(self, service: Service) -> postgres.Transaction:
        """A connection to the service's schema, waited for if the server is away. Raises psycopg.OperationalError."""
        # Below the session timeout: a stopped worker must not hold its rows after its partitions were given away.
        idle_ms = max(500, self.session_timeout_ms * 2 // 3)
        schema = self.prefix + service.name
        return postgres.patiently(
            lambda: postgres.connect(self.dsn, schema=schema, name=self.name, idle_timeout_ms=idle_ms),
            given_up=self.stopping,
        )
