"""The whole run in a network and mount namespace of its own, so that it may cut connections and touches nobody's.

Without root a user namespace gives the right to it, with the user's own id (`initdb` refuses root) and capabilities
kept over exec (unshare(1), `--map-current-user --keep-caps`). The command becomes itself again inside, so that signals
and exit codes need no translation; the namespaces vanish with its last process. Nothing outside is reached from there.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from typing import Final

from bench.cluster.programs import kafka_programs

MARK: Final = "CHOREOBENCH_PRIVATE_NETWORK"
"""In the environment of a command that is inside."""

PROGRAMS: Final = ("unshare", "ip", "mount", "sh")
PREPARE: Final = "mount -t tmpfs tmpfs /run && mkdir /run/netns && ip link set lo up"
"""`ip netns` keeps its names in /run, which is ours alone in here."""
PROBE: Final = (
    f"{PREPARE} && ip netns add probe && ip link add bridge type bridge && "
    "ip link add outer type veth peer name inner netns probe && "
    "ip -n probe addr add 10.199.0.1/24 dev inner && ip -n probe link set inner up && "
    "ip -n probe route add blackhole 10.199.0.2/32 && ip netns exec probe true"
)
PROBE_S: Final = 10


def is_private() -> bool:
    """Whether this process is inside."""
    return MARK in os.environ


def refusal() -> str | None:
    """Why this machine does not let us in, in one line; None where it does. All that a cut needs is tried once."""
    if is_private():
        return None
    if missing := [name for name in PROGRAMS if shutil.which(name) is None]:
        return f"there is no {', '.join(missing)} on this machine"
    try:
        tried = subprocess.run(
            [*_unshare(), "sh", "-c", PROBE], capture_output=True, text=True, check=False, timeout=PROBE_S
        )
    except subprocess.TimeoutExpired:
        return f"namespaces were not made within {PROBE_S} s"
    said = tried.stderr.strip().splitlines()
    return None if tried.returncode == 0 else f"no network namespaces for this user: {' '.join(said[-1:])}"


def enter_private(argv: Sequence[str], *, module: str) -> str | None:
    """Replaces this process by `python -m MODULE ARGV` inside. Returns where it is inside already (None), or where it
    may not: why, in one line; it goes on outside then. Raises `ServerUnavailable`.
    """
    refused = refusal()
    if refused is None:
        kafka_programs()  # Nothing can be fetched from inside.
        become_private(argv, module=module)
    return refused


def become_private(argv: Sequence[str], *, module: str) -> None:
    """Replaces this process by `python -m MODULE ARGV` inside; returns only where it is inside already."""
    if is_private():
        return
    script = f'{PREPARE} && exec "$@"'
    inner = [sys.executable, "-m", module, *argv]
    sys.stdout.flush()
    sys.stderr.flush()
    command = [*_unshare(), "sh", "-c", script, "sh", *inner]
    os.execvpe(command[0], command, {**os.environ, MARK: "1"})


def _unshare() -> list[str]:
    # Root must keep its users, as PostgreSQL runs as another one.
    user = [] if os.geteuid() == 0 else ["--user", "--map-current-user", "--keep-caps"]
    return ["unshare", *user, "--net", "--mount"]
