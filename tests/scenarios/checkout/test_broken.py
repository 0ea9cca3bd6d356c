"""Every wrong system is caught, on real servers, as its author said; and the real one is not accused.

Each run is small, and three go on at a time: a run mostly waits for what has died to be missed, and for quiet.
"""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest
from rich.console import Console

from bench.check import check
from bench.cluster.endpoints import Endpoints
from bench.display import Display
from bench.matrix import kill, trial
from bench.matrix.cells import Cell, Result
from bench.measure import measure
from bench.options import Options
from bench.resolve import resolve
from bench.runner import execute
from bench.scenario import scenarios
from tests.bench.running import run

CHECKOUT: Final = scenarios()["checkout"]
RUNS_AT_ONCE: Final = 3
ALWAYS: Final = (
    "reply-before-compensation",
    "compensation-never",
    "wrong-user",
    "partial-decrement",
    "rebuild-leaks",
    "watermark-never-moves",
    "commit-first",
    "memory-inbox",
    "reads-uncommitted",
    "offsets-apart",
    "swallowed-error",
    "deletes-first",
    "timeout-as-failure",
    "idle-nemesis",
    "backdating-generator",
)
"""The half that every run of the tests tries; `--every-broken-system` and `choreobench matrix kill` try all of them."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "name" in metafunc.fixturenames:
        metafunc.parametrize("name", CHECKOUT.broken if metafunc.config.getoption("every_broken_system") else ALWAYS)


def tried(name: str, cluster: Endpoints, out: Path) -> Result:
    """Runs and judges a wrong system, without a report."""
    options = Options(
        scenario="checkout", broken=name, seed=1, out=out, settings=("users=1000", "items=200"),
        bootstrap_servers=cluster.bootstrap, dsn=cluster.dsn,
    )  # fmt: skip
    spec = resolve(options)
    execute(spec, options.wanted(), command=f"--broken {name}", display=Display(Console(quiet=True)))
    measure(spec.path)
    cell = Cell(name=name, row=name, column=kill.SYSTEM, options=options)
    return kill.judged(trial.of_run(cell, spec.path, check(spec.path), folder=out), CHECKOUT)


@pytest.fixture(scope="module")
def judged(
    cluster: Endpoints, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[dict[str, Future[Result]]]:
    """The runs of the wrong systems that this session asks for, a few at a time."""
    asked = {item.callspec.params.get("name") for item in request.session.items if hasattr(item, "callspec")}
    with ThreadPoolExecutor(RUNS_AT_ONCE) as pool:
        runs = {
            name: pool.submit(tried, name, cluster, tmp_path_factory.mktemp(name))
            for name in CHECKOUT.broken
            if name in asked
        }
        yield runs
        pool.shutdown(cancel_futures=True)


def test_a_wrong_system_is_caught_by_what_exists_for_it(judged: dict[str, Future[Result]], name: str) -> None:
    result = judged[name].result()
    assert result["fate"] == "caught", result


def test_it_runs_under_the_guarantee_under_which_it_is_wrong(cluster: Endpoints, tmp_path: Path) -> None:
    ran = run(cluster, tmp_path, "--broken", "unordered-relay", "--operations", "600", "--rate", "1000", "--seed", "2")
    assert ran.code == 1
    assert ran.kinds() == {"relay-reorder"}
    assert "-outbox-" in ran.folder.name


def test_the_real_system_is_not_accused(cluster: Endpoints, tmp_path: Path) -> None:
    ran = run(cluster, tmp_path, "--operations", "3000", "--rate", "max", "--seed", "1")
    assert ran.code == 0, ran.kinds()
