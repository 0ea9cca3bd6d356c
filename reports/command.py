"""What every page's own command does: render it, refresh the index of the runs beside it, print the page's path."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from reports.index import refresh

USAGE: Final = 64


def render(arguments: Sequence[str], page: Callable[[Path], Path], *, usage: str) -> int:
    """Exit code 0, or 64 with one line that says what is wrong. The one argument is the folder that `page` reads."""
    if len(arguments) != 1:
        print(f"usage: {usage}", file=sys.stderr)
        return USAGE
    folder = Path(arguments[0]).resolve()
    try:
        made = page(folder)
        refresh(folder.parent)
    except OSError as error:
        print(f"no page: {error}", file=sys.stderr)
        return USAGE
    print(made)
    return 0
