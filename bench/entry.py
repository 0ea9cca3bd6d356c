"""Where the command begins. Loading everything that it may need takes a second, and an interruption in that second
is one line too.
"""

import sys


def main() -> int:
    """The command; its exit code."""
    try:
        from bench.cli import main as command
    except KeyboardInterrupt:
        print("choreobench: interrupted; nothing had been started", file=sys.stderr)
        return 130
    return command()
