"""The command ends in one line, whenever it is interrupted."""

import builtins
from typing import Any

import pytest

from bench import entry


def test_an_interruption_while_modules_are_loaded_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    imported = builtins.__import__

    def interrupted(name: str, *rest: Any, **more: Any) -> Any:  # noqa: ANN401 - as the built-in one
        if name == "bench.cli":
            raise KeyboardInterrupt
        return imported(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", interrupted)
    assert entry.main() == 130
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "choreobench: interrupted; nothing had been started\n")
