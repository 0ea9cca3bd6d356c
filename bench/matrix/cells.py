"""What a matrix consists of, as frozen values: cells to be swept, claims to be held against what they found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, Literal

from bench.options import Options

Result = Mapping[str, Any]
"""What a cell left on disk: `name`, `row`, `column`, `verdict`, `reasons`, `findings`; of a run also `run` (its folder,
relative to the matrix's), `gates`, `recovery` and `figures`."""

EXIT_ORDER: Final = (1, 5, 2, 4, 3)
"""The first of these that occurred is the exit code (interface.md)."""

HELD: Final = "held"
BROKEN: Final = "broken"
UNKNOWN: Final = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """`name` is unique in its matrix and names its file; `row` and `column` place it in the table.

    With `options` it is a run of its own. With `corruption` it damages a copy of what one of the cells `bases`
    recorded: the first one that has what can be damaged.
    """

    name: str
    row: str
    column: str
    options: Options | None = None
    corruption: str | None = None
    bases: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Claim:
    """A sentence about the whole matrix. `found` is what it rests on; `code` the exit code where it is not held."""

    sentence: str
    found: str
    verdict: Literal["held", "broken", "unknown"]
    code: int


def exit_code(claims: Sequence[Claim]) -> int:
    """0 where every claim is held."""
    codes = {claim.code for claim in claims if claim.verdict != HELD}
    return next((code for code in EXIT_ORDER if code in codes), 0)


def repeating(options: Options) -> str:
    """The `choreobench run` that repeats a cell's run on servers of its own."""
    flags = ("replay", "static_members")
    unused = {*flags, "scenario", "settings", "workers", "out", "bootstrap_servers", "client_config", "dsn"}
    words = ["choreobench", "run", options.scenario]
    for one in fields(Options):
        value = getattr(options, one.name)
        if one.name not in unused and value is not None and value != one.default:
            words += [f"--{one.name.replace('_', '-')}", f"{value:g}" if isinstance(value, float) else str(value)]
    words += [word for setting in options.settings for word in ("--set", setting)]
    words += [word for workers in options.workers for word in ("--workers", workers)]
    words += [f"--{flag.replace('_', '-')}" for flag in flags if getattr(options, flag)]
    return " ".join(words)
