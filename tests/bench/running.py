"""A run through the public command, against the session's servers: what a user types and what it leaves behind."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from bench.cli import main
from bench.cluster.endpoints import Endpoints


@dataclass(frozen=True)
class Ran:
    """Exit code and run folder of one `choreobench run`."""

    code: int
    folder: Path

    @property
    def verdicts(self) -> dict[str, Any]:
        return dict(orjson.loads((self.folder / "verdicts.json").read_bytes()))

    def kinds(self, *, tolerated: bool = False) -> set[str]:
        """The kinds of anomaly found, those that count or those that are tolerated."""
        return {
            anomaly["kind"]
            for checker in self.verdicts["checkers"]
            for anomaly in checker["anomalies"]
            if anomaly["tolerated"] is tolerated
        }


def run(cluster: Endpoints, out: Path, *arguments: str) -> Ran:
    """`choreobench run checkout …` on servers that are there already."""
    code = main(
        [
            "run",
            "checkout",
            "--out",
            str(out),
            "--bootstrap-servers",
            cluster.bootstrap,
            "--dsn",
            cluster.dsn,
            *arguments,
        ]
    )
    return Ran(code, (out / "latest").resolve())
