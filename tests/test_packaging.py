"""What is committed names no address and no machine, and every package is listed."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
PRODUCT = ("system", "loadgen", "verifiers", "bench", "reports")


def test_the_locked_requirements_name_no_address_and_no_option() -> None:
    for file in sorted((ROOT / "requirements").glob("*.*")):
        text = file.read_text()
        assert "://" not in text, file
        assert not re.search(r"^\s*--(index-url|extra-index-url|find-links|trusted-host)", text, re.MULTILINE), file
        assert " @ " not in text, file


def test_every_locked_package_has_a_hash() -> None:
    text = (ROOT / "requirements" / "locked.txt").read_text()
    pinned = re.findall(r"^([a-z0-9][a-z0-9._-]*)==\S+ \\\n    --hash=sha256:[0-9a-f]{64}", text, re.MULTILINE)
    assert len(pinned) == len(re.findall(r"^\S+==", text, re.MULTILINE)) > 50


def test_everything_that_is_wanted_is_locked() -> None:
    text = (ROOT / "requirements" / "locked.txt").read_text()
    for file in ("choreobench.in", "develop.in"):
        for line in (ROOT / "requirements" / file).read_text().splitlines():
            if line and not line.startswith("#"):
                assert re.search(rf"^{re.escape(line.partition('[')[0])}==", text, re.MULTILINE), line


def test_pyproject_lists_every_package_that_there_is() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    there = {
        ".".join(init.parent.relative_to(ROOT).parts)
        for top in PRODUCT
        for init in (ROOT / top).rglob("__init__.py")
        if "__pycache__" not in init.parts
    }
    assert set(listed) == there
