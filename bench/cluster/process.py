"""A child process that cannot outlive the harness, with its output in a log file.

Used for servers and for the workers of a run alike. Each child leads a session of its own, so that Ctrl-C in the
terminal reaches the harness alone, which then stops its children in order; the parent-death signal covers the case in
which the harness cannot. That signal is tied to the thread that called `start`: call it from one that lives as long as
the child may (the main thread, as a rule).
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.waiting import DeadlineExceeded, wait_until

SHIM: Final = Path(__file__).with_name("shim.py")
TAIL_BYTES: Final = 32_768
COMPLAINT: Final = re.compile(r"\b(ERROR|FATAL|error:|[A-Za-z.]+Exception:|cannot)", re.ASCII)
KILL_DEADLINE_S: Final = 10.0


@dataclass(frozen=True)
class User:
    """Whom a child runs as."""

    uid: int
    gid: int


@dataclass(frozen=True)
class Process:
    """A running (or ended) child; `name` is how the events, the samples and the messages call it."""

    name: str
    log: Path
    popen: "subprocess.Popen[bytes]"
    stop_signal: signal.Signals = signal.SIGTERM

    @property
    def pid(self) -> int:
        return self.popen.pid

    def poll(self) -> int | None:
        """The exit code, negative for a signal, or None while it runs."""
        return self.popen.poll()

    def signal(self, number: signal.Signals) -> None:
        """Send `number` unless the process has ended."""
        if self.poll() is None:
            # It may end between the two lines; a signal that comes too late changes nothing.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def wait(self, deadline_s: float) -> int:
        """Its exit code; raises `DeadlineExceeded` when it runs on."""
        wait_until(lambda: self.poll() is not None, deadline_s=deadline_s, why=f"{self.name} to end", poll_s=0.01)
        code = self.poll()
        assert code is not None
        return code

    def stop(self, grace_s: float) -> int:
        """Ask with `stop_signal`, insist with SIGKILL after `grace_s` seconds; the exit code.

        What it started in its own group has the same time to follow it (a killed child of `initdb` would leave shared
        memory behind, one that sees its parent gone does not).
        """
        self.signal(self.stop_signal)
        try:
            wait_until(self._is_gone, deadline_s=grace_s, why=f"{self.name} to end", poll_s=0.01)
        except DeadlineExceeded:
            self._signal_group(signal.SIGKILL)
        return self.wait(KILL_DEADLINE_S)

    def kill(self) -> int:
        """SIGKILL to it and to whatever it started in its group; the exit code."""
        # Once it has ended its number may be somebody else's.
        if self.poll() is None:
            self._signal_group(signal.SIGKILL)
        return self.wait(KILL_DEADLINE_S)

    def _is_gone(self) -> bool:
        return self.poll() is not None and not self._signal_group(0)

    def _signal_group(self, number: int) -> bool:
        """Signal all of its group (0 asks only); whether there was anybody."""
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            return False
        return True

    def tail(self, lines: int = 3) -> str:
        """What its log ends with, for the message that says why it died."""
        return tail(self.log, lines)


def start(
    argv: Sequence[str],
    *,
    name: str,
    log: Path,
    env: Mapping[str, str] | None = None,
    user: User | None = None,
    death_signal: signal.Signals = signal.SIGKILL,
) -> Process:
    """Start `argv` in the current folder; its output is appended to `log`. `env` replaces the environment where given.

    `death_signal` is what it receives when the thread that called this ends. Raises `OSError` where the program cannot
    be found; a program that cannot be executed ends with exit code 1 and says why in `log`.
    """
    program = shutil.which(argv[0])
    if program is None:
        raise FileNotFoundError(f"no program {argv[0]}")
    ids = (user.uid, user.gid) if user else (-1, -1)
    shim = [sys.executable, "-I", "-S", str(SHIM), str(os.getpid()), str(int(death_signal)), *map(str, ids)]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        popen = subprocess.Popen(
            [*shim, str(Path(program).absolute()), *argv[1:]],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=None if env is None else dict(env),
            start_new_session=True,
        )
    return Process(name=name, log=log, popen=popen)


def tail(log: Path, lines: int = 3) -> str:
    """The last lines of a log file that complain, or else its last lines, joined by " | "; empty without one."""
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - TAIL_BYTES))
        said = [line.strip() for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    complaints = [line for line in said if COMPLAINT.search(line)]
    return " | ".join((complaints or said)[-lines:])
