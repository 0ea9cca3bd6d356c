"""`matrix.json`: what was swept, by which code on which machine, every cell, and the claims that rest on them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from bench.check import write
from bench.matrix.cells import Claim, Result, exit_code
from bench.measure.files import json_object
from bench.recording.environment import checkout

SCHEMA_VERSION: Final = 1
FILE: Final = "matrix.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """What makes two sweeps the same one: whoever asks for it again goes on with it while it is unfinished."""

    kind: str
    scenario: str
    profile: str
    seed: int
    only: str | None
    commit: str | None
    dirty: bool | None


def heading(*, kind: str, scenario: str, profile: str, seed: int, only: str | None) -> Heading:
    """The heading of a sweep with the code that is here."""
    state = checkout()
    return Heading(
        kind=kind,
        scenario=scenario,
        profile=profile,
        seed=seed,
        only=only,
        commit=state.commit,
        dirty=state.dirty,
    )


def write_document(
    folder: Path,
    head: Heading,
    results: Sequence[Result],
    *,
    planned: int,
    command: str,
    claims: Sequence[Claim],
    summary: Mapping[str, Any],
) -> None:
    """Writes it, whole or not at all; claims are made only once every planned cell is there."""
    whole = len(results) == planned
    environment: Mapping[str, Any] = next((one["environment"] for one in results if one.get("environment")), {})
    content = {
        "schema_version": SCHEMA_VERSION,
        "run_id": folder.name,
        **asdict(head),
        "command": command,
        "complete": whole,
        "planned": planned,
        "exit_code": exit_code(claims) if whole else None,
        "claims": [asdict(claim) for claim in claims] if whole else [],
        **summary,
        "cells": [{name: value for name, value in one.items() if name != "environment"} for one in results],
        "environment": environment,
    }
    write(folder / FILE, content)


def unfinished(out: Path, head: Heading, *, seed_is_typed: bool) -> tuple[Path, int] | None:
    """The newest sweep in `out` of this heading that is not complete, and its seed; any seed where none was typed."""
    wanted = {name: value for name, value in asdict(head).items() if name != "seed" or seed_is_typed}
    for folder in sorted(out.glob(f"*-matrix-{head.kind}-*"), reverse=True):
        found = json_object(folder / FILE)
        if found and not found["complete"] and all(found.get(name) == value for name, value in wanted.items()):
            return folder.absolute(), int(found["seed"])
    return None
