"""The page of `choreobench raw` shows what was measured, needs nothing but itself and fits a telephone."""

import re
from pathlib import Path

import pytest

from bench.raw.document import content, write
from reports.raw import main, raw_page
from tests.bench.raw.literal_record import literal_record
from tests.reports.test_page import CHROMIUM, parsed, shown_by_browser


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    write(literal_record(), folder)
    return raw_page(folder)


def test_the_page_is_whole_html_that_names_no_address_and_carries_no_script(page: Path) -> None:
    text, found = page.read_text(encoding="utf-8"), parsed(page)
    assert not found.wrong
    assert not found.open
    assert len(found.ids) == len(set(found.ids))
    assert all(link[1:] in found.ids for link in found.links)
    assert not re.findall(r"https?://|xmlns|<script|<link|@import|#0a0b", text)
    assert text.count('class="drawing wide"') == text.count('class="drawing narrow"') == 5


def test_every_cell_contender_claim_and_bound_is_on_the_page(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    document = content(literal_record())
    assert all(f"<h3>{cell['name']} <small>" in text for cell in document["cells"])
    assert all(one["name"] in text for cell in document["cells"] for one in cell["contenders"])
    assert all(claim["sentence"] in text for claim in document["claims"])
    assert "4.00 × (4.00 to 4.00)" in text
    assert "1.1e+10" not in text
    assert "<b>12</b><span>GB/s</span>" in text
    assert "p50" in text
    assert "10,000 trips" in text


def test_the_command_renders_and_names_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 64
    assert "no raw.json" in capsys.readouterr().err
    write(literal_record("smoke"), tmp_path)
    assert main([str(tmp_path)]) == 0
    assert capsys.readouterr().out.strip().endswith("raw.html")


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: the page was not opened in a browser")
@pytest.mark.parametrize("width", [1440, 420])
def test_a_browser_shows_the_page_without_sideways_scrolling(page: Path, tmp_path: Path, width: int) -> None:
    widest, drawings = shown_by_browser(page, tmp_path, width)
    assert widest <= width + 1
    assert drawings == 5, "one drawing of each pair is visible"
