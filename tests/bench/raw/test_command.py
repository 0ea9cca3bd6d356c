"""`choreobench raw` against the session's broker: what a user types, what it leaves, and what it does not leave."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import orjson
import psutil
import pytest

from bench.cli import main
from bench.cluster.cache import cache_folder
from bench.cluster.endpoints import Endpoints
from bench.cluster.jars import kafka_jars
from bench.cluster.java import find_java
from bench.raw import machine, ours
from bench.raw import site as sites
from bench.raw.java_tools import Tools
from bench.raw.payloads import Payloads
from bench.raw.plan import CELLS
from bench.raw.site import Site, stand
from bench.recording.errors import RecordingFailed
from bench.recording.positions import topics_of
from bench.waiting import wait_until

CELL = {cell.name: cell for cell in CELLS}


@pytest.fixture
def site(cluster: Endpoints, tmp_path: Path) -> Site:
    # Not `site_of`, which would tell the broker of all tests to delete at once.
    pid = cluster.pids["broker-1"]
    return Site({**cluster.client, "bootstrap.servers": cluster.bootstrap}, tmp_path, pid, "rawtest-")


def test_a_run_leaves_its_figures_and_its_page_and_no_topic(
    cluster: Endpoints, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--profile", "smoke", "--only", "consume", "--seed", "5", "--out", str(tmp_path)]
    assert main(["raw", *arguments, "--bootstrap-servers", cluster.bootstrap]) == 0
    assert (tmp_path / "index.html").exists()
    (folder,) = tmp_path.glob("*/")
    assert {path.name for path in folder.iterdir()} == {"raw.json", "raw.html"}
    document = orjson.loads((folder / "raw.json").read_bytes())
    assert document["seed"] == 5
    names = [one["name"] for one in document["cells"][0]["contenders"]]
    assert names == [
        "columnar client",
        "columnar client, ctypes kernel",
        "confluent-kafka consume(10000)",
        "ConsumerPerformance",
    ]
    assert all(one["rate_records_per_s"]["count"] == 3 for one in document["cells"][0]["contenders"])
    shown = capsys.readouterr().out
    assert "seed 5 · raw smoke" in shown
    assert f"{document['environment']['client_kernel']} kernel" in shown
    assert "ConsumerPerformance" in shown
    connection = {**cluster.client, "bootstrap.servers": cluster.bootstrap}
    assert topics_of(connection, "raw") == []


def test_sigterm_in_the_middle_leaves_no_folder_no_process_and_no_topic(cluster: Endpoints, tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "bench.cli", "raw", "--profile", "smoke", "--only", "produce+consume"]
    argv += ["--out", str(tmp_path), "--bootstrap-servers", cluster.bootstrap]
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    ) as process:
        assert process.stdout is not None
        assert any("round 1" in line for line in process.stdout)
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 130
    assert list(tmp_path.iterdir()) == []
    connection = {**cluster.client, "bootstrap.servers": cluster.bootstrap}
    wait_until(lambda: topics_of(connection, "raw") == [], deadline_s=10, why="its topics to be gone")
    wait_until(lambda: not any(one.is_running() for one in children), deadline_s=30, why="its processes to be gone")


def test_a_record_that_the_broker_does_not_have_is_a_failed_measurement(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sites, "ALL_STORED_S", 0.3)
    with stand(site, CELL["produce"], Payloads(100, 1)) as at:
        stored = ours.produce(at, 2_000).stored
        at.require_stored(stored)
        with pytest.raises(RecordingFailed, match=f"{stored + 1} records of produce"):
            at.require_stored(stored + 1)
        with pytest.raises(RecordingFailed, match=f"the brokers have {stored} of {stored - 1} records"):
            at.require_stored(stored - 1)


def test_a_refused_record_is_a_failed_measurement(site: Site) -> None:
    cell = replace(CELL["produce"], payload_bytes=2**21)
    with stand(site, cell, Payloads(cell.payload_bytes, 1)) as at, pytest.raises(RecordingFailed, match="were refused"):
        ours.produce(at, 2)


def test_records_of_another_size_are_a_failed_measurement(site: Site) -> None:
    with stand(site, CELL["consume"], Payloads(99, 1)) as at:
        records = ours.produce(at, 2_000).stored
        with pytest.raises(RecordingFailed, match=f"{99 * records} bytes came in {records} records"):
            ours.consume(at, records)


def test_a_round_trip_of_kafkas_own_tool_is_timed_and_one_that_fails_says_why(site: Site) -> None:
    java = find_java()
    tools = Tools(java.program, tuple(kafka_jars(cache_folder())), java.version)
    with stand(site, CELL["round-trip"], Payloads(100, 1)) as at:
        sample = tools.round_trip(at, 20)
        assert (sample.records, sample.stored) == (20, 20)
        assert 100 < sample.figure < 1e6
        at.require_stored(20)
        nowhere = replace(at, cell=replace(at.cell, acks="0"))
        with pytest.raises(RecordingFailed, match="EndToEndLatency ended with 1"):
            tools.round_trip(nowhere, 20)


def test_the_machines_bound_is_measured_by_a_peer_that_ends(tmp_path: Path) -> None:
    found = machine.bound(tmp_path, stream_bytes=2**24, trips=100)
    assert found.memory_copy_bytes_per_s > found.loopback_bytes_per_s > 1e7
    assert 1 < found.loopback_round_trip_us < 1e5
    assert not [child for child in psutil.Process().children() if "bench.raw.machine" in _command_of(child)]


def _command_of(process: psutil.Process) -> str:
    """Empty for one that has ended and was not waited for: another test's."""
    with suppress(psutil.NoSuchProcess):  # ZombieProcess is one.
        return " ".join(process.cmdline())
    return ""
