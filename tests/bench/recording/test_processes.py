import os
import subprocess
import sys
from collections.abc import Mapping

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.recording.processes import CpuLedger, Usage, family_usage_of, machine, usage_of
from bench.waiting import wait_until


def usage(started: int, cpu_s: float) -> Usage:
    return Usage(started, cpu_s, 0, 1, 1)


def test_a_process_is_read_with_its_cpu_memory_threads_and_files() -> None:
    before = usage_of(os.getpid())
    assert before is not None
    assert before.rss_bytes > 10_000_000
    assert before.threads >= 1
    with open(os.devnull) as _:
        during = usage_of(os.getpid())
    assert during is not None
    assert during.fds == before.fds + 1
    wait_until(lambda: (usage_of(os.getpid()) or before).cpu_s > before.cpu_s, deadline_s=10, why="CPU", poll_s=0)


def test_a_process_that_is_gone_has_no_usage() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert usage_of(child.pid) is None
    assert family_usage_of(child.pid) is None


def test_a_family_counts_its_living_children_and_those_that_have_ended() -> None:
    program = """
import subprocess, sys
burn = "import time\\nwhile time.process_time() < 0.4: pass\\n"
subprocess.run([sys.executable, "-c", burn])
pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
alive = subprocess.Popen([sys.executable, "-c", burn + "print(1, flush=True); input()"], **pipes)
alive.stdout.readline()
print(1, flush=True)
input()
"""
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdout.readline()
        family, alone = family_usage_of(server.pid), usage_of(server.pid)
        server.stdin.close()
    assert family is not None
    assert alone is not None
    assert family.cpu_s >= alone.cpu_s + 0.75
    assert family.threads == alone.threads + 1
    assert family.fds > alone.fds


def test_postgres_does_not_count_its_shared_buffers_once_a_backend(server_pids: Mapping[str, int], dsn: str) -> None:
    pid = server_pids.get("postgres")
    if pid is None:
        pytest.skip("the database of this session was not started by us")
    with psycopg.connect(dsn) as db:
        db.execute("SELECT count(*) FROM pg_class")
        family = family_usage_of(pid)
    assert family is not None
    assert family.threads > 3
    assert 10_000_000 < family.rss_bytes < 3 * 2**30


def test_the_machine_says_steal_and_pressure() -> None:
    first = machine()
    assert first.cpu_s > 0
    assert first.steal_s >= 0
    assert first.pressure_cpu_some_us is None or first.pressure_cpu_some_us >= 0


def test_cpu_of_a_name_adds_up_over_its_restarts() -> None:
    ledger = CpuLedger()
    assert ledger.charge("pay-0", usage(1, 2.0)) == 2.0
    assert ledger.charge("pay-0", usage(1, 3.0)) == 3.0
    assert ledger.charge("pay-0", usage(9, 0.5)) == 3.5
    assert ledger.charge("stock-0", usage(3, 1.0)) == 1.0
    assert ledger.totals() == {"pay-0": 3.5, "stock-0": 1.0}


@given(st.lists(st.tuples(st.integers(1, 3), st.floats(0, 100))))
def test_cpu_of_a_name_never_goes_back(readings: list[tuple[int, float]]) -> None:
    ledger = CpuLedger()
    totals = [
        ledger.charge("pay-0", usage(started, cpu_s)) for started, cpu_s in sorted(readings, key=lambda one: one[0])
    ]
    assert totals == sorted(totals)
