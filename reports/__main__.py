"""`python -m reports RUN`: render the run's page and the index of the runs beside it, then print the page's path."""

import sys

from reports.command import render
from reports.page import report


def main(arguments: list[str]) -> int:
    """Exit code 0, or 64 with one line that says what is wrong."""
    return render(arguments, report, usage="python -m reports RUN, where RUN is a run folder")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
