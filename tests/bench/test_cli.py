"""Bad input is one line that names what was wrong and what is legal, with the right exit code, and starts nothing."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import orjson
import psutil
import pytest
from confluent_kafka.admin import AdminClient

from bench.cli import main
from bench.cluster.endpoints import Endpoints
from bench.waiting import wait_until


@pytest.mark.parametrize(
    ("arguments", "named", "legal"),
    [
        (["check", "runs/latest", "--rate"], "'--rate'", "legal: -h"),
        (["run", "nosuch"], "nosuch", "checkout"),
        (["run", "checkout", "--bogus"], "--bogus", "legal: --guarantee, --fault, --rate"),
        (["frob"], "frob", "run, check"),
        (["run", "checkout", "--rate", "0"], "--rate 0", "above 0"),
        (["run", "checkout", "--rate", "nan"], "--rate nan", "above 0"),
        (["run", "checkout", "--broken", "nope"], "nope", "no-inbox"),
        (
            ["run", "checkout", "--broken", "deletes-first", "--guarantee", "idempotent"],
            "deletes-first",
            "legal: outbox",
        ),
        (["run", "checkout", "--guarantee", "exactly"], "exactly", "idempotent"),
        (["run", "checkout", "--group-protocol", "range"], "'range'", "classic, consumer"),
        (["run", "checkout", "--assignor", "uniform"], "assignor of classic 'uniform'", "range, roundrobin"),
        (["run", "checkout", "--set", "foo=1"], "foo", "fail_credit"),
        (["run", "checkout", "--set", "items=x"], "items='x'", "whole number"),
        (["run", "checkout", "--set", "items"], "'items'", "NAME=VALUE"),
        (["run", "checkout", "--fault", "crash:foo@after-state#1"], "'foo'", "pay, stock, order"),
        (["run", "checkout", "--fault", "crash:pay@nowhere#1"], "'nowhere'", "after-state"),
        (["run", "checkout", "--fault", "crash:pay@after-pick#1"], "under idempotent", "after-produce"),
        (
            ["run", "checkout", "--guarantee", "outbox", "--fault", "crash:order@after-offsets#1"],
            "'after-offsets'",
            "after-pick, after-produce, after-clear",
        ),
        (
            ["run", "checkout", "--guarantee", "outbox", "--fault", "crash:checkout@after-begin#1"],
            "checkout under outbox",
            "after-state, after-produce, after-recover",
        ),
        (["run", "checkout", "--fault", "crash:pay@after-connect#2"], "once a life", "#1"),
        (["run", "checkout", "--guarantee", "at-most-once", "--replay"], "--replay", "idempotent, outbox"),
        (["run", "checkout", "--fault", "explode"], "'explode'", "crash:SERVICE@POINT#N"),
        (["run", "checkout", "--fault", "eat:pay@1s"], "'eat'", "pause"),
        (["run", "checkout", "--fault", "mix:services@1s~1s"], "mix:services@1s~1s", "longer"),
        (["run", "checkout", "--fault", "kill:bank@1s"], "'bank'", "pay, stock, order, pay-0"),
        (["run", "checkout", "--fault", "kill:leader@1s"], "three brokers", "--brokers 3"),
        (["run", "checkout", "--fault", "kill:pay@50s"], "kill:pay@50s", "before"),
        (
            ["run", "checkout", "--fault", "kill:leader@1s", "--bootstrap-servers", "127.0.0.1:1"],
            "not ours",
            "without --bootstrap-servers",
        ),
        (["run", "checkout", "--fault", "kill:postgres@1s", "--dsn", "host=x"], "not ours", "without --dsn"),
        (["matrix", "fault", "--dsn", "host=x"], "hurts its servers", "without --bootstrap-servers and --dsn"),
        (["run", "checkout", "--operations", "0"], "--operations 0", "100 to"),
        (["run", "checkout", "--operations", "500", "--duration-s", "3"], "exclude", "rate"),
        (["run", "checkout", "--rate", "max", "--duration-s", "3"], "--duration-s", "--operations"),
        (["run", "checkout", "--arrival", "weird"], "'weird'", "poisson"),
        (["run", "checkout", "--workers", "pay=0"], "pay=0", "1 to 64"),
        (["run", "checkout", "--workers", "foo=1"], "'foo'", "pay, stock, order"),
        (["run", "checkout", "--brokers", "2"], "--brokers 2", "1, 3"),
        (["run", "checkout", "--partitions", "0"], "--partitions 0", "1 to"),
        (["run", "checkout", "--client-config", "x"], "--client-config", "--bootstrap-servers"),
        (
            ["run", "checkout", "--client-config", "/none", "--bootstrap-servers", "127.0.0.1:1"],
            "/none",
            "cannot be read",
        ),
        (["run", "checkout", "--out", "/proc/none"], "--out /proc/none", "can be written"),
        (["bench", "--profile", "huge"], "'huge'", "smoke, standard, full"),
        (["raw", "--profile", "huge"], "'huge'", "smoke, standard, full"),
        (["raw", "--only", "nosuch"], "nosuch", "produce-lz4"),
        (["raw", "--seed", "x"], "'x'", "--help"),
        (["raw", "--client-config", "x"], "--client-config", "--bootstrap-servers"),
        (["raw", "--out", "/proc/none"], "--out /proc/none", "can be written"),
        (["matrix", "frob"], "matrix 'frob'", "crash, guarantee, fault, kill"),
        (["matrix", "crash", "nosuch"], "nosuch", "checkout"),
        (["matrix", "kill", "--profile", "huge"], "'huge'", "smoke, standard, full"),
        (["matrix", "kill", "--only", "nope*"], "nope*", "recording.credit-changed"),
        (["matrix", "crash", "--jobs", "65"], "--jobs 65", "1 to 64"),
        (["matrix", "fault", "--jobs", "0"], "--jobs 0", "1 to 64"),
        (
            ["matrix", "guarantee", "--jobs", "2"],
            "--jobs 2 of matrix guarantee",
            "legal: 1, as cells beside each other",
        ),
        (["matrix", "crash", "--client-config", "x"], "--client-config", "--bootstrap-servers"),
        (["check", "/none"], "/none", "run folder"),
        (["report", "/none"], "/none", "run folder"),
    ],
)
def test_bad_usage_exits_64_and_names_what_is_legal(
    arguments: list[str], named: str, legal: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = (
        []
        if "--out" in arguments or arguments[0] not in ("run", "bench", "matrix", "raw")
        else ["--out", str(tmp_path / "runs")]
    )
    assert main([*arguments, *out]) == 64
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    assert named in error
    assert legal in error
    assert not (tmp_path / "runs").exists() or not any((tmp_path / "runs").iterdir())


def test_a_cluster_that_is_not_there_exits_69_and_leaves_no_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    servers = ["--bootstrap-servers", "127.0.0.1:1", "--dsn", "host=127.0.0.1 port=1"]
    assert main(["run", "checkout", "--out", str(tmp_path), *servers]) == 69
    assert "127.0.0.1:1" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


def test_a_recording_that_would_not_fit_exits_69_and_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = shutil.disk_usage(tmp_path)._replace(free=100 * 2**20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: small)
    assert main(["run", "checkout", "--operations", "300000", "--rate", "max", "--out", str(tmp_path)]) == 69
    said = f"choreobench: {tmp_path} has 100 MiB free, 357 MiB are needed for the recording of 300,000 operations\n"
    assert capsys.readouterr().err == said
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_a_newer_schema_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"schema_version": 99, "scenario": "checkout"}))
    assert main(["check", str(tmp_path)]) == 64
    assert "schema_version 99" in capsys.readouterr().err


def test_a_truncated_run_json_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run.json").write_text('{"schema_version": 1, "scen')
    assert main(["check", str(tmp_path)]) == 64
    assert "run.json" in capsys.readouterr().err


def test_every_command_has_an_example_in_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("run", "check", "report", "list", "up", "down", "status", "bench", "raw", "matrix", "blindness"):
        assert main([command, "--help"]) == 0
        assert f"Example: choreobench {command}" in capsys.readouterr().out


def test_list_shows_scenarios_broken_systems_checkers_and_knobs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    for word in (
        "checkout",
        "idempotent",
        "compensation-never",
        "broken systems (--broken): idempotent, 1000 operations at 1000/s, fault none, unless",
        "before the broker has acknowledged them (outbox, fault crash:pay@after-pick#4)",
        "credit_is_conserved",
        "fail_credit",
        "crash:SERVICE@POINT#N",
        "faults of services: KIND:ROLE@Ns[~Ns]",
        "rewind postgres: the tables put back",
        "mix:services|brokers|network|postgres|all@Ns~Ns",
        "poll → state → commit → pick → produce → clear",
        "under transactional, checkout: after-state, after-begin",
    ):
        assert word in shown


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("· servers", signal.SIGKILL),
        ("· servers", signal.SIGINT),
        ("· provision", signal.SIGTERM),
        ("· prime", signal.SIGINT),
        ("· prime", signal.SIGKILL),
        ("measure:", signal.SIGTERM),
        ("· quiesce", signal.SIGKILL),
    ],
)
def test_a_signal_at_any_moment_leaves_no_process_behind(moment: str, number: signal.Signals, tmp_path: Path) -> None:
    argv = [
        sys.executable,
        "-m",
        "bench.cli",
        "run",
        "checkout",
        "--out",
        str(tmp_path),
        "--rate",
        "1000",
        "--operations",
        "3000" if moment == "· quiesce" else "60000",
        "--seed",
        "1",
    ]
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if moment in line:
                break
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(number)
        process.communicate(timeout=60)
    assert process.returncode == {signal.SIGKILL: -9}.get(number, 130)
    wait_until(
        lambda: not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE],
        deadline_s=30,
        why="every process of the run to be gone",
    )


def test_a_second_signal_while_everything_is_stopped_changes_nothing(cluster: Endpoints, tmp_path: Path) -> None:
    argv = [
        sys.executable,
        "-m",
        "bench.cli",
        "run",
        "checkout",
        "--out",
        str(tmp_path),
        "--rate",
        "500",
        "--seed",
        "1",
    ]
    argv += ["--operations", "30000", "--bootstrap-servers", cluster.bootstrap, "--dsn", cluster.dsn]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        wait_until(lambda: list(tmp_path.glob("*/raw/go")), deadline_s=60, why="the load")
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGTERM)
        wait_until(
            lambda: any(not child.is_running() for child in children), deadline_s=30, why="the end of one of them"
        )
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
    assert (process.returncode, said.strip().count("\n")) == (130, 0), said
    assert len(children) > 4
    assert not psutil.wait_procs(children, timeout=30)[1]
    prefix = orjson.loads(next(tmp_path.glob("2*/run.json")).read_bytes())["prefix"]
    topics = AdminClient({"bootstrap.servers": cluster.bootstrap}).list_topics(timeout=10).topics
    assert not [topic for topic in topics if topic.startswith(prefix)]


def test_an_interruption_in_the_middle_of_a_c_call_is_an_interruption_and_no_bug(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def listed(_console: object) -> None:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as interruption:
            raise SystemError("a call returned a result with an exception set") from interruption

    monkeypatch.setattr("bench.cli.listing.print_all", listed)
    assert main(["list"]) == 130
    assert "interrupted" in capsys.readouterr().err
