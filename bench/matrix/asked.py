"""What a process that tries one cell is asked, as a file: the cell, and the recordings that it may damage."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from bench.matrix.cells import Cell
from bench.options import Options

ASKED: Final = "asked.json"
FOUND: Final = "found.json"
"""What the process answers, a `Result`, beside it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """`folder` is the matrix's; `bases` are run folders, of which the first that is fit is damaged."""

    cell: Cell
    scenario: str
    folder: Path
    bases: Sequence[Path] = ()


def write_asked(place: Path, asked: Asked) -> None:
    """Writes it into the folder `place`, which is made."""
    place.mkdir(parents=True)
    (place / ASKED).write_bytes(orjson.dumps(asdict(asked), default=str))


def read_asked(place: Path) -> Asked:
    """What `write_asked` wrote."""
    content = dict(orjson.loads((place / ASKED).read_bytes()))
    cell = dict(content["cell"])
    options = None if cell["options"] is None else _options(cell["options"])
    return Asked(
        cell=Cell(**{**cell, "options": options}),
        scenario=content["scenario"],
        folder=Path(content["folder"]),
        bases=[Path(base) for base in content["bases"]],
    )


def _options(content: dict[str, Any]) -> Options:
    config = content["client_config"]
    return Options(
        **{**content, "out": Path(content["out"]), "client_config": None if config is None else Path(config)}
    )
