"""Faults of services and of PostgreSQL through the public command: each strikes, heals, and breaks no claim."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import orjson
import psutil
import pytest

from bench import runner
from bench.cli import main
from bench.cluster.endpoints import Endpoints
from bench.nemesis.kinds import KINDS
from bench.nemesis.site import DoNothing
from bench.waiting import wait_until
from tests.bench.running import Ran, run

LOAD = ("--rate", "250", "--warmup-s", "0.5", "--seed", "7")
PLANS = {
    "idempotent": (
        "disconnect:postgres@0.5s~2s+poison:pay@1s+rolling:order@2s+kill:postgres@4s+out:stock@5s~1s+in:pay@6s~1s"
        "+pause:postgres@8s~1s+slow:postgres@10s~1s"
    ),
    "transactional": "twin:stock@0.5s~2s+pause:pay-0@1s~7.5s+kill:driver@2s+restart:owner@4s+slow:stock@8s~1s",
}


@pytest.fixture(scope="module")
def runs(cluster: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Ran]:
    """Both at a time, each with a PostgreSQL of its own."""

    def faulty(guarantee: str) -> Ran:
        out = tmp_path_factory.mktemp("faults")
        options = (
            "--guarantee",
            guarantee,
            "--fault",
            PLANS[guarantee],
            "--out",
            str(out),
            "--duration-s",
            "12",
            *LOAD,
        )
        workers = ("--workers", "pay=2", "--workers", "order=2", "--bootstrap-servers", cluster.bootstrap)
        command = [sys.executable, "-m", "bench.cli", "run", "checkout", *options, *workers]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
        assert (out / "latest").exists(), ended.stdout + ended.stderr
        return Ran(ended.returncode, (out / "latest").resolve())

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(PLANS, pool.map(faulty, PLANS), strict=True))


def events(ran: Ran) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in (ran.folder / "events.jsonl").read_bytes().splitlines()]


@pytest.mark.parametrize("guarantee", PLANS)
def test_every_fault_strikes_heals_and_breaks_nothing_that_is_claimed(guarantee: str, runs: Mapping[str, Ran]) -> None:
    ran = runs[guarantee]
    told = {name: {e["fault"] for e in events(ran) if e["event"] == name} for name in ("fault-struck", "fault-healed")}
    assert told["fault-struck"] == told["fault-healed"] == set(PLANS[guarantee].split("+"))
    assert ran.verdicts["safety"] == "VALID", (ran.kinds(), [c["reason"] for c in ran.verdicts["checkers"]])
    assert ran.verdicts["liveness"] == "VALID", [c["reason"] for c in ran.verdicts["checkers"]]


def test_what_was_hit_is_in_the_events(runs: Mapping[str, Ran]) -> None:
    hits = {e["fault"]: e["hit"] for ran in runs.values() for e in events(ran) if e["event"] == "fault-struck"}
    assert hits["kill:driver@2s"]["processes"] == ["driver"]
    assert set(hits["pause:pay-0@1s~7.5s"]["partitions"]) == {"pay-0"}
    assert hits["disconnect:postgres@0.5s~2s"]["connections"]
    assert sum(map(len, hits["poison:pay@1s"]["records"].values())) == 6
    assert hits["slow:postgres@10s~1s"]["commit_delay_us"] == 100_000
    assert {*hits} >= {"kill:postgres@4s"}


def test_a_nemesis_that_does_nothing_is_found_out(
    cluster: Endpoints, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    idle = {family: dict.fromkeys(kinds, DoNothing()) for family, kinds in KINDS.items()}
    monkeypatch.setattr(runner, "HANDS", idle)
    ran = run(
        cluster,
        tmp_path,
        "--fault",
        "kill:pay@0.2s+mix:services@0s~4s",
        "--operations",
        "1200",
        *LOAD[:4],
        "--seed",
        "7",
    )
    (reason,) = [c["reason"] for c in ran.verdicts["checkers"] if c["checker"] == "the_fault_struck"]
    assert ran.code == 2
    assert "kill:pay@0.2s" in reason
    assert "mix:" not in reason
    assert "restart:order-0@0s" in reason


def test_a_rewind_is_shown_and_not_hidden(cluster: Endpoints, tmp_path: Path) -> None:
    options = ("--fault", "rewind:postgres@0.5s~1s", "--operations", "750", *LOAD)
    code = main(["run", "checkout", "--out", str(tmp_path), "--bootstrap-servers", cluster.bootstrap, *options])
    ran = Ran(code, (tmp_path / "latest").resolve())
    (struck,) = [e for e in events(ran) if e["event"] == "fault-struck"]
    assert struck["hit"]["lost_rows"]["pay.inbox"] > 0
    assert ran.code == 1
    assert ran.kinds()


@pytest.mark.parametrize(
    ("fault", "number"),
    [
        ("pause:pay@0s~60s", signal.SIGINT),
        ("pause:postgres@0s~60s", signal.SIGINT),
        ("pause:postgres@0s~60s", signal.SIGKILL),
    ],
)
def test_an_end_in_the_middle_of_a_fault_leaves_nothing_stopped(
    fault: str, number: signal.Signals, cluster: Endpoints, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "bench.cli", "run", "checkout", "--out", str(tmp_path), "--fault", fault]
    command += ["--bootstrap-servers", cluster.bootstrap, "--rate", "200", "--duration-s", "60", "--warmup-s", "0.1"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONUNBUFFERED": "1"}) as process:
        wait_until(lambda: _struck(tmp_path), deadline_s=60, why="the fault to strike")
        children = psutil.Process(process.pid).children(recursive=True)
        started = [_command(child) for child in children]
        process.send_signal(number)
        process.wait(60)
    assert process.returncode == (-signal.SIGKILL if number is signal.SIGKILL else 130)
    wait_until(lambda: not _there(children), deadline_s=30, why="every process of the run to be gone")
    assert {"driver", "pay-0", "stock-0", "order-0"} <= _names(started), "they had been there to be stopped"
    assert _there(children) == []


def _there(processes: Sequence[psutil.Process]) -> list[psutil.Process]:
    return [one for one in processes if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:  # It was a short one, such as the seeder.
        return []


def _names(commands: Sequence[Sequence[str]]) -> set[str]:
    """What the processes of a run are called: the last argument but one."""
    return {command[-2] for command in commands if "bench.process" in command}


def _struck(out: Path) -> bool:
    return any(b"fault-struck" in path.read_bytes() for path in out.glob("*/raw/events/runner~*"))
