"""Becomes another program that dies with its parent: drop the user, ask for the parent-death signal, exec.

Run as `python -I -S shim.py PARENT SIGNAL UID GID PROGRAM ARGUMENT…` (ids of -1 keep the user). The order matters: the
kernel forgets the signal when credentials change, so it is asked for after them. A parent that died before the request
is found by its changed id. The signal follows the *thread* that started this process (prctl(2), PR_SET_PDEATHSIG).
An extra program, and not `preexec_fn`, because code between fork and exec may deadlock in a process with threads.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def become(parent: int, death_signal: int, uid: int, gid: int, argv: list[str]) -> None:
    """Replace this process by `argv`; returns only by raising `OSError`."""
    if gid >= 0:
        os.setgroups([])
        os.setgid(gid)
    if uid >= 0:
        os.setuid(uid)
    die_with(parent, death_signal)
    os.execv(argv[0], argv)


def die_with(parent: int, death_signal: int) -> None:
    """Has this process signalled when the thread that started it ends. Raises `OSError` where it has ended already."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:
        raise OSError("the parent is gone already")


if __name__ == "__main__":
    try:
        become(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5:])
    except OSError as error:
        sys.exit(f"cannot start {sys.argv[5]}: {error}")
