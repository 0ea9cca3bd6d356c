"""A bottleneck is named from what each party's busiest thread used, and a busy thread is seen."""

import os
import time

import pytest

from bench.raw.threads import APPLICATION, BROKER, CLIENT, NONE, Busy, Watch, bottleneck


def busy(
    application: float, client: float, broker_thread: float | None, broker: float | None, machine: float = 1.0
) -> Busy:
    return Busy(application, client, broker_thread, broker, machine, cores=2)


@pytest.mark.parametrize(
    ("found", "named"),
    [
        (busy(0.97, 0.3, 0.4, 0.5), APPLICATION),
        (busy(0.4, 0.95, 0.4, 0.5), CLIENT),
        (busy(0.4, 0.5, 0.99, 1.1), BROKER),
        (busy(0.2, 0.3, 0.4, 0.9), NONE),
        (busy(0.7, 0.3, 0.4, 0.5), APPLICATION),
        # All cores taken, nobody with one alone: two threads of the broker used the most.
        (busy(0.5, 0.6, 0.55, 0.9, machine=1.95), BROKER),
        # The broker is on another machine.
        (busy(0.3, 0.8, None, None), CLIENT),
        (busy(0.3, 0.2, None, None), NONE),
    ],
)
def test_the_busiest_party_is_named_unless_everybody_waited(found: Busy, named: str) -> None:
    assert bottleneck(found) == named


def test_a_thread_that_spins_is_the_application_and_a_foreign_broker_is_not_watched() -> None:
    watch, until = Watch(None), time.perf_counter() + 0.4
    while time.perf_counter() < until:
        pass
    seen = watch.close()
    assert seen.application > 0.3
    assert seen.client_thread < 0.3
    assert (seen.broker, seen.broker_thread) == (None, None)
    assert 1 <= seen.cores <= (os.cpu_count() or 1)


def test_a_broker_that_is_gone_used_nothing() -> None:
    assert Watch(2**22 + 1).close().broker is None
