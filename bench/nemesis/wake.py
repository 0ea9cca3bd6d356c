"""Wakes what was stopped if the harness dies: a stopped process does not act on the signal of its parent's death."""

import subprocess
from collections.abc import Sequence

_SCRIPT = 'read -r _; for pid in "$@"; do kill -CONT "$pid" 2>/dev/null; done'


def on_our_death(pids: Sequence[int]) -> "subprocess.Popen[bytes]":
    """Starts a watcher that sends SIGCONT to `pids` when its standard input ends; `dismiss` it once they were woken."""
    return subprocess.Popen(
        ["/bin/sh", "-c", _SCRIPT, "wake", *map(str, pids)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def dismiss(watcher: "subprocess.Popen[bytes]") -> None:
    """Ends a watcher that is needed no more."""
    watcher.kill()
    watcher.wait()
    if watcher.stdin is not None:
        watcher.stdin.close()
