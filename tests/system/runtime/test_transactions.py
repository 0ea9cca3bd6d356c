"""A transaction's calls end as steps, by what the caller has to do next; its name is its own over all lives."""

import subprocess
import sys
from collections.abc import Sequence
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, KafkaException

from system.kafka.batch import Span
from system.kafka.producer import BatchProducer
from system.kafka.transactions import AbortNeeded, ProducerFatal, RetryCall
from system.runtime.guarantees import Ended
from system.runtime.observer import NullObserver
from system.runtime.transactions import ATTEMPTS, Transactions


class Noting(NullObserver):
    """Remembers the events."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, object]]] = []

    def event(self, event: str, **fields: object) -> None:
        self.events.append((event, fields))


class Puppet:
    """A producer whose calls end as the list says, and well when it is empty."""

    def __init__(self, *ends: KafkaException) -> None:
        self.ends = list(ends)
        self.calls: list[str] = []

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if self.ends and name != "init":
            raise self.ends.pop(0)

    def init_transactions(self) -> None:
        self._call("init")

    def begin_transaction(self) -> None:
        self._call("begin")

    def send_offsets_to_transaction(self, spans: Sequence[Span], group: bytes) -> None:
        self._call("offsets")

    def commit_transaction(self) -> None:
        self._call("commit")

    def abort_transaction(self) -> None:
        self._call("abort")

    def forget(self) -> list[Any]:
        return []


def opened(*ends: KafkaException) -> tuple[Transactions, Puppet, Noting]:
    puppet, noting = Puppet(), Noting()
    transactions = Transactions(cast(BatchProducer, puppet), "p-pay-0", noting)
    transactions.begin()
    puppet.ends = list(ends)
    return transactions, puppet, noting


def error(kind: type[KafkaException]) -> KafkaException:
    return kind(KafkaError(KafkaError.INVALID_TXN_STATE))


@pytest.mark.parametrize(
    ("kind", "ended"),
    [(AbortNeeded, Ended.ABORTABLE), (ProducerFatal, Ended.FAILED), (KafkaException, Ended.FAILED)],
)
def test_an_error_ends_the_step_by_what_is_to_be_done(kind: type[KafkaException], ended: Ended) -> None:
    for call in ("commit", "send_offsets"):
        transactions, _, noting = opened(error(kind))
        made = transactions.commit() if call == "commit" else transactions.send_offsets([], lambda: b"")
        assert made is ended
        assert noting.events[-1][0] == "transaction-refused"


def test_a_call_that_may_be_retried_is_retried_and_given_up_in_the_end() -> None:
    transactions, puppet, _ = opened(error(RetryCall), error(RetryCall))
    assert transactions.commit() is Ended.DONE
    assert puppet.calls.count("commit") == 3
    transactions, puppet, _ = opened(*[error(RetryCall)] * ATTEMPTS)
    assert transactions.commit() is Ended.FAILED


def test_a_member_outside_its_group_aborts() -> None:
    def outside() -> bytes:
        raise error(KafkaException)

    transactions, puppet, _ = opened()
    assert transactions.send_offsets([], outside) is Ended.ABORTABLE
    assert "offsets" not in puppet.calls


def test_an_abort_that_wants_an_abort_is_the_end() -> None:
    transactions, _, _ = opened(error(AbortNeeded))
    assert transactions.abort() is Ended.FAILED


def test_each_transaction_has_a_name_and_its_end_is_told() -> None:
    transactions, _, noting = opened()
    first = transactions.current
    assert transactions.commit() is Ended.DONE
    assert transactions.current is None
    transactions.begin()
    second = transactions.current
    assert transactions.abort() is Ended.DONE
    assert noting.events == [
        ("transaction-committed", {"transaction": first}),
        ("transaction-aborted", {"transaction": second}),
    ]
    assert first is not None
    assert second is not None
    slot, _, number = first.rpartition("/")
    assert (slot, int(number) + 1) == ("p-pay-0", int(second.rpartition("/")[2]))


def test_a_call_that_never_returns_ends_the_process_with_its_stack() -> None:
    script = (
        "import threading\nfrom system.runtime.transactions import ended_if_stuck\n"
        "with ended_if_stuck(60): pass\n"
        "with ended_if_stuck(0.1): threading.Event().wait()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 1
    assert "in wait" in done.stderr
