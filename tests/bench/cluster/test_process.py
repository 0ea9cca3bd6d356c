"""A child is started with its output in a file, stopped in order, and dies with its parent."""

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from bench.cluster.process import Process, start, tail
from bench.waiting import wait_until

DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"

PARENT = """
import pathlib, sys
from bench.cluster.process import start
from bench.waiting import wait_until
child = start([sys.executable, "-c", "import time; time.sleep(600)"], name="child", log=pathlib.Path(sys.argv[1]))
print(child.pid, flush=True)
wait_until(lambda: False, deadline_s=600, why="the end")
"""


def python(code: str, log: Path) -> Process:
    return start([sys.executable, "-c", code], name="child", log=log)


def test_output_and_exit_code_are_kept(tmp_path: Path) -> None:
    child = python(
        "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)", tmp_path / "logs" / "child.log"
    )
    assert child.wait(30) == 3
    assert sorted(child.log.read_text().split()) == ["err", "out"]


def test_sigterm_stops_a_child_that_listens(tmp_path: Path) -> None:
    child = python("import time; time.sleep(600)", tmp_path / "log")
    assert child.stop(grace_s=30) == -signal.SIGTERM


def test_a_child_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    child = python(DEAF, tmp_path / "log")
    wait_until(lambda: "deaf" in child.log.read_text(), deadline_s=30, why="the child to be deaf")
    assert child.stop(grace_s=0.05) == -signal.SIGKILL


def test_a_childs_own_child_is_stopped_with_it(tmp_path: Path) -> None:
    code = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {DEAF!r}]).wait()"
    child = python(code, tmp_path / "log")
    wait_until(lambda: "deaf" in child.log.read_text(), deadline_s=30, why="the grandchild to be deaf")
    (grandchild,) = psutil.Process(child.pid).children()
    assert child.stop(grace_s=0.05) == -signal.SIGTERM
    wait_until(lambda: not grandchild.is_running(), deadline_s=30, why="the grandchild to end")


def test_a_child_has_a_session_of_its_own(tmp_path: Path) -> None:
    child = python("import os; print(os.getsid(0) == os.getpid())", tmp_path / "log")
    assert child.wait(30) == 0
    assert child.log.read_text().strip() == "True"


def test_a_killed_parent_leaves_no_child(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, tmp_path / "log"], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert psutil.pid_exists(child)
        parent.kill()
    wait_until(lambda: not psutil.pid_exists(child), deadline_s=30, why="the child to follow its parent")


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no-such-program"):
        start(["no-such-program"], name="child", log=tmp_path / "log")


def test_the_tail_prefers_the_lines_that_complain(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("INFO begins\nERROR the disk is full\nINFO ends\n")
    assert tail(log) == "ERROR the disk is full"
    log.write_text("one\ntwo\nthree\nfour\n")
    assert tail(log, lines=2) == "three | four"
    assert tail(tmp_path / "none") == ""
