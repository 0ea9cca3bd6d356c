"""A private network: what it refuses, which plans need it, and cuts in one."""

import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bench.cluster.private import MARK, PREPARE, become_private, is_private, refusal
from bench.matrix.command import MatrixOptions
from bench.matrix.command import needs_private_network as needs_private_network_of
from bench.nemesis.network import HANDS, needs_private_network
from bench.nemesis.plan import parse_plan
from bench.nemesis.site import Missed, Site
from bench.options import Options, UsageError
from bench.resolve import resolve

INSIDE = """
import socket, subprocess, sys
from bench.cluster.network import begin_network

LISTEN = "import socket; s = socket.create_server(('0.0.0.0', 9)); print(flush=True); [s.accept() for _ in range(99)]"
CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], 9), timeout=0.3)"
begin_network().address("b")
network = begin_network()
servers = []
for name in "ab":
    argv = [*network.enter(name), sys.executable, "-c", LISTEN]
    servers.append(subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL))
    servers[-1].stdout.readline()

def reaches(one, other):
    argv = [*network.enter(one), sys.executable, "-I", "-S", "-c", CONNECT, network.address(other)]
    return subprocess.run(argv, stderr=subprocess.DEVNULL).returncode == 0

def both():
    return reaches("a", "b"), reaches("b", "a")

assert both() == (True, True)
for sends, hears in ((True, True), (True, False), (False, True)):
    network.cut(["a"], sends=sends, hears=hears)
    network.cut(["a"], sends=sends, hears=hears)
    assert both() == (False, False), (sends, hears)
    assert reaches("a", "a") and not reaches("new", "a"), (sends, hears)
    network.connect(["a"])
    network.connect(["a"])
    assert both() == (True, True), (sends, hears)
for server in servers:
    server.kill()
print("all cuts bit and healed")
"""


@pytest.mark.parametrize(
    ("plan", "needs"),
    [
        ("none", False),
        ("crash:pay@after-state#1", False),
        ("kill:leader@1s", False),
        ("kill:pay@1s+cut:broker-1@2s", True),
        ("flap:pay@2s~3s", True),
        ("mix:network@1s~9s", True),
        ("mix:all@1s~9s", True),
        ("mix:services@1s~9s", False),
    ],
)
def test_only_a_plan_that_cuts_needs_a_network_of_its_own(plan: str, needs: bool) -> None:
    assert needs_private_network(parse_plan(plan)) is needs


def test_foreign_servers_are_not_left_behind_by_a_private_network() -> None:
    plan = "cut:leader@1s"
    assert Options(scenario="checkout", fault=plan, brokers=3).needs_private_network()
    assert not Options(scenario="checkout", fault=plan, brokers=3, dsn="host=db").needs_private_network()
    assert not Options(scenario="checkout", fault="cut:nonsense", brokers=3).needs_private_network()


def test_a_cut_beside_a_foreign_database_is_refused(tmp_path: Path) -> None:
    options = Options(scenario="checkout", fault="cut:leader@1s", brokers=3, dsn="host=db", out=tmp_path)
    with pytest.raises(UsageError, match="a private network reaches no foreign database; legal: without --dsn"):
        resolve(options)


def test_a_matrix_goes_in_only_where_a_cell_cuts() -> None:
    assert needs_private_network_of(MatrixOptions(kind="fault", scenario="checkout", only="*network.cut"))
    assert not needs_private_network_of(MatrixOptions(kind="fault", scenario="checkout", only="*broker.kill"))
    assert not needs_private_network_of(MatrixOptions(kind="fault", scenario="checkout", dsn="host=db"))
    assert not needs_private_network_of(MatrixOptions(kind="no-such-kind", scenario="checkout"))


def test_a_machine_without_the_tools_is_told_by_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert refusal() == "there is no unshare, ip, mount, sh on this machine"


def test_without_a_private_network_nothing_is_cut_and_the_reason_is_told() -> None:
    site = cast(Site, SimpleNamespace(endpoints=SimpleNamespace(network=None)))
    for word in ("cut:leader@1s", "cut-from:leader@1s", "cut-to:pay@1s", "flap:pay-0@1s"):
        (fault,) = parse_plan(word).faults
        found = HANDS[fault.kind](fault, site)
        assert isinstance(found, Missed)
        assert found.reason


def test_who_is_inside_stays_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MARK, "1")
    monkeypatch.setattr("os.execvpe", lambda *_: pytest.fail("it went in again"))
    become_private(["run", "checkout"], module="bench.cli")
    assert is_private()
    assert refusal() is None


def test_cuts_bite_in_every_direction_and_heal() -> None:
    if reason := refusal():
        pytest.skip(reason)
    command: list[Any] = ["unshare", "--net", "--mount"]
    if shutil.which("id") and subprocess.run(["id", "-u"], capture_output=True, check=True).stdout.strip() != b"0":
        command += ["--user", "--map-current-user", "--keep-caps"]
    script = f'{PREPARE} && exec "$@"'
    argv = [*command, "sh", "-c", script, "sh", sys.executable, "-c", INSIDE]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.strip() == "all cuts bit and healed", done.stderr
