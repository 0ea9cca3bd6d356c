"""`python -m reports RUN`: render the run's page and the index of the runs beside it, then print the page's path."""

import sys
from pathlib import Path

from reports.index import refresh
from reports.page import report

USAGE = 64


def main(arguments: list[str]) -> int:
    """Exit code 0, or 64 with one line that says what is wrong."""
    if len(arguments) != 1:
        print("usage: python -m reports RUN, where RUN is a run folder", file=sys.stderr)
        return USAGE
    run_folder = Path(arguments[0]).resolve()
    try:
        page = report(run_folder)
        refresh(run_folder.parent)
    except OSError as error:
        print(f"no report: {error}", file=sys.stderr)
        return USAGE
    print(page)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
