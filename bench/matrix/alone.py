"""One cell in a process of its own: `python -m bench.matrix.alone PLACE PARENT`; `PLACE` says what is asked.

It ends with the sweep whose process is `PARENT`, and by itself goes into a network of its own where its faults cut
connections: two runs in one would have the same addresses.
"""

import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.check import write
from bench.cluster.private import enter_private
from bench.cluster.shim import die_with
from bench.endings import ending
from bench.matrix import kill
from bench.matrix.asked import FOUND, Asked, read_asked
from bench.matrix.cells import Result
from bench.matrix.trial import damaged, ran
from bench.scenario import scenarios


def tried(asked: Asked, place: Path) -> Result:
    """What the cell found. Raises what a run raises; a run that is interrupted leaves nothing."""
    cell = asked.cell
    if cell.options is not None:
        return ran(cell, cell.options, folder=asked.folder)
    assert cell.corruption is not None
    corruption = kill.corruption_of(scenarios()[asked.scenario], cell.corruption)
    return damaged(cell, corruption, asked.bases, copy=place / "copy")


def main(argv: Sequence[str]) -> int:
    """`PLACE PARENT` → exit code; what was found stands in `PLACE`."""
    place, parent = Path(argv[0]), int(argv[1])
    asked = read_asked(place)
    if asked.cell.options is not None and asked.cell.options.needs_private_network():
        enter_private(argv, module="bench.matrix.alone")
        # The way in may have changed the credentials, with which the kernel forgets whom to tell of the parent's end.
        die_with(parent, signal.SIGTERM)
    write(place / FOUND, tried(asked, place))
    return 0


if __name__ == "__main__":
    sys.exit(ending(lambda: main(sys.argv[1:])))
