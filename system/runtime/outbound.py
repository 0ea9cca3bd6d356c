"""What a worker sends: records under the run's prefix, dead letters, and what became of them, told to the observer."""

from collections.abc import Sequence

from system.kafka.batch import Outgoing
from system.kafka.producer import Unacknowledged
from system.runtime.decoding import DEAD_LETTER_SUFFIX, DeadLetter
from system.runtime.guarantees import Ended
from system.runtime.observer import Observer
from system.runtime.service import Service
from system.runtime.transactions import Transactions, tell
from system.runtime.worker_config import WorkerConfig


class Outbound:
    """One worker's producer, and its transactions where the guarantee has them.

    Raises KafkaException where no broker answers or the transactions cannot be initialised.
    """

    def __init__(self, service: Service, settings: WorkerConfig, observer: Observer) -> None:
        self._prefix = settings.prefix
        self._observer = observer
        self.producer = settings.open_producer(settings.producer(service))
        self.transactions = (
            Transactions(self.producer, settings.client_id, observer) if settings.guarantee.transactions else None
        )

    def send(self, replies: Sequence[Outgoing], letters: Sequence[DeadLetter]) -> None:
        """Hands over what a batch has to say; dead letters bear their topic in full."""
        for outgoing in replies:
            self.producer.send(Outgoing(self._prefix + outgoing.topic, outgoing.keys, outgoing.values))
        for letter in letters:
            self.producer.send_one(
                letter.topic + DEAD_LETTER_SUFFIX, key=letter.key, value=letter.value, headers=letter.headers()
            )

    def acknowledge(self) -> None:
        """Waits for what was sent. Raises `Unacknowledged`."""
        transaction = self.transactions.current if self.transactions is not None else None
        try:
            tell(self._observer, self.producer.flush(), transaction)
        except Unacknowledged as error:
            tell(self._observer, error.args[1], transaction)
            raise

    def acknowledged(self) -> Ended:
        """The same as a step: a record of a transaction that failed can be sent again, after an abort."""
        try:
            self.acknowledge()
        except Unacknowledged as error:
            self._observer.event("produce-failed", reason=str(error.args[0]))
            return Ended.FAILED if self.transactions is None else Ended.ABORTABLE
        return Ended.DONE
