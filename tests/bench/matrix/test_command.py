"""`choreobench matrix` through the public command, on the session's servers: what it leaves, and what an end leaves."""

import signal
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import psutil
import pytest

from bench.cluster.endpoints import Endpoints
from bench.waiting import wait_until

SKETCHES = {
    "crash": ("--only", "at-least-once.after-produce"),
    "kill": ("--jobs", "2"),
    "guarantee": (),
}


def argv(kind: str, out: Path, cluster: Endpoints | None, *more: str) -> list[str]:
    servers = () if cluster is None else ("--bootstrap-servers", cluster.bootstrap, "--dsn", cluster.dsn)
    command = (sys.executable, "-m", "bench.cli", "matrix", kind, "--profile", "smoke", "--seed", "1")
    return [*command, "--out", str(out), *servers, *more]


@pytest.fixture(scope="module")
def swept(cluster: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, tuple[int, Path]]:
    """Exit code and folder of a sketch of each matrix, all at a time: for most of it a run waits for a group."""

    def sweep(kind: str) -> tuple[int, Path]:
        out = tmp_path_factory.mktemp(kind)
        # What a server writes is told by the server as a whole: a price needs one that nobody else uses.
        command = argv(kind, out, None if kind == "guarantee" else cluster, *SKETCHES[kind])
        ended = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
        folders = list(out.glob(f"*-matrix-{kind}-checkout-smoke-s1"))
        assert len(folders) == 1, ended.stdout + ended.stderr
        return ended.returncode, folders[0]

    with ThreadPoolExecutor(3) as pool:
        return dict(zip(SKETCHES, pool.map(sweep, SKETCHES), strict=True))


def document(folder: Path) -> dict[str, Any]:
    return dict(orjson.loads((folder / "matrix.json").read_bytes()))


def untolerated(found: Mapping[str, Any]) -> list[Any]:
    """What a cell that should be VALID was accused of."""
    return [one for cell in found["cells"] for one in cell["findings"] if not one["tolerated"]]


@pytest.mark.parametrize("kind", SKETCHES)
def test_a_sketch_holds_and_leaves_its_table_its_runs_and_a_page(
    kind: str, swept: Mapping[str, tuple[int, Path]]
) -> None:
    code, folder = swept[kind]
    found = document(folder)
    assert (code, found["exit_code"]) == (0, 0), (found["claims"], untolerated(found))
    assert found["complete"]
    assert all((folder / one["run"] / "report.html").exists() for one in found["cells"] if "run" in one)
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "HELD" in page
    assert "://" not in page


def test_crashes_that_repeat_are_seen_and_recovery_is_timed(swept: Mapping[str, tuple[int, Path]]) -> None:
    found = document(swept["crash"][1])
    assert found["observed"]["at-least-once"]["duplicate"] > 0
    struck = found["cells"][0]["recovery"]
    assert {one["process"] for one in struck} == {"pay-0", "stock-0", "order-0", "driver"}
    assert all(one["ready_ms"] > 0 for one in struck)


def test_mutants_are_caught_by_those_who_should_and_the_clean_run_by_nobody(
    swept: Mapping[str, tuple[int, Path]],
) -> None:
    cells = {one["row"]: one for one in document(swept["kill"][1])["cells"]}
    assert cells["credit-changed"]["caught_by"] == ["credit_is_conserved"]
    assert cells["terminal-lost"]["caught_by"] == ["each_step_happens_once"]
    assert cells["compensation-twice"]["fate"] == "caught"
    assert cells["idempotent s1"]["fate"] == "clean"


def test_a_price_has_throughput_and_what_a_saga_costs(swept: Mapping[str, tuple[int, Path]]) -> None:
    prices = document(swept["guarantee"][1])["prices"]
    assert set(prices) == {"at-most-once", "idempotent"}
    assert all(one["sagas_per_s"]["median"] > 0 and one["cpu_us"]["order-0"] > 0 for one in prices.values())
    assert prices["idempotent"]["wal_bytes"] > prices["at-most-once"]["wal_bytes"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_an_end_in_the_middle_of_cells_leaves_no_process_and_no_run_and_a_sweep_to_go_on_with(
    number: signal.Signals, cluster: Endpoints, tmp_path: Path
) -> None:
    command = argv("crash", tmp_path, cluster, "--jobs", "2")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as ended:
        wait_until(lambda: len(list(tmp_path.glob("*/runs/*/logs/pay-0.log"))) == 2, deadline_s=60, why="two runs")
        started = psutil.Process(ended.pid).children(recursive=True)
        ended.send_signal(number)
        ended.communicate(timeout=60)
    assert ended.returncode == (130 if number == signal.SIGTERM else -signal.SIGKILL)
    assert len(started) > 2
    assert not psutil.wait_procs(started, timeout=30)[1]
    (folder,) = tmp_path.iterdir()
    assert not document(folder)["complete"]
    assert not list((folder / "runs").iterdir())


def test_a_cell_without_servers_ends_the_sweep_with_its_one_line(cluster: Endpoints, tmp_path: Path) -> None:
    servers = replace(cluster, dsn="host=127.0.0.1 port=1")
    command = argv("guarantee", tmp_path, servers)
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 69, ended.stderr
    assert ended.stderr.count("\n") == 1
    assert "at-most-once.max.0" in ended.stderr
    assert "PostgreSQL" in ended.stderr
    (folder,) = tmp_path.iterdir()
    assert not (folder / "attempts").exists()
