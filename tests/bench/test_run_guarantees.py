"""Every guarantee runs the whole of checkout through the public command and keeps what it claims, several crashes a
run.
"""

from pathlib import Path

import orjson
import pytest

from bench.cluster.endpoints import Endpoints
from bench.guarantees import TOLERATES
from tests.bench.running import Ran, run

PLANS = {
    "at-most-once": "crash:pay@after-commit#3+crash:stock@after-state#4+crash:order@after-produce#5",
    "at-least-once": "crash:pay@after-state#3+crash:stock@after-produce#4+crash:order@before-commit#5",
    "idempotent": "crash:pay@after-state#3+crash:pay@after-connect#1+crash:checkout@after-state#4",
    "outbox": "crash:pay@after-commit#3+crash:stock@after-pick#4+crash:order@after-produce#5+crash:pay@after-clear#1",
    "transactional": (
        "crash:pay@after-produce#3+crash:stock@after-offsets#4+crash:order@after-commit#5+crash:checkout@after-produce#3"
    ),
}
OPERATIONS = ("--operations", "900", "--rate", "600", "--warmup-s", "0.2")


def events(ran: Ran, name: str) -> list[dict[str, object]]:
    lines = (ran.folder / "events.jsonl").read_bytes().splitlines()
    return [event for event in map(orjson.loads, lines) if event["event"] == name]


@pytest.mark.parametrize("name", sorted(PLANS))
def test_crashes_break_nothing_that_the_guarantee_claims(name: str, cluster: Endpoints, tmp_path: Path) -> None:
    ran = run(cluster, tmp_path, *OPERATIONS, "--seed", "11", "--guarantee", name, "--fault", PLANS[name])
    assert ran.verdicts["safety"] == "VALID", (ran.kinds(), [c["reason"] for c in ran.verdicts["checkers"]])
    assert len(events(ran, "failpoint-reached")) == PLANS[name].count("crash")
    assert ran.kinds(tolerated=True) <= TOLERATES[name]
    if name == "transactional":
        assert events(ran, "transaction-committed")
    if name != "at-most-once":
        assert ran.verdicts["liveness"] == "VALID"
