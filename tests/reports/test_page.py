"""The page of a run says what was recorded, says it safely, and needs nothing but itself."""

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import orjson
import pyarrow.parquet as pq
import pytest

from bench.measure import measure
from reports import index, report
from reports.__main__ import main
from reports.anomalies import moments_ns
from reports.lanes import tenures
from tests.reports.synthetic_run import INVALID, Shape, write_run

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
VOID = {"meta", "br", "hr", "img", "link", "input"}


class Nesting(HTMLParser):
    """Collects ids, relative links and tags that were closed out of order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.wrong: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        self.ids += [value for name, value in attrs if name == "id" and value]
        self.links += [value for name, value in attrs if tag == "a" and name == "href" and value]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value for name, value in attrs if name == "id" and value]

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


@pytest.fixture(scope="module")
def struck(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was struck by a crash and found invalid, measured and reported."""
    shape = Shape(operations=16_000, rate_per_s=1_000, crash_s=8.0)
    run = write_run(tmp_path_factory.mktemp("runs") / "20261121T101500Z-checkout", shape, verdicts=INVALID)
    measure(run)
    report(run)
    return run


def parsed(page: Path) -> Nesting:
    found = Nesting()
    found.feed(page.read_text(encoding="utf-8"))
    return found


def test_the_page_is_whole_html_with_unique_ids_and_links_that_lead_somewhere(struck: Path) -> None:
    page = parsed(struck / "report.html")
    assert not page.wrong
    assert not page.open
    assert len(page.ids) == len(set(page.ids))
    for link in page.links:
        assert link[1:] in page.ids if link.startswith("#") else (struck / link).is_file(), link


def test_the_page_names_no_address_and_carries_no_script(struck: Path) -> None:
    text = (struck / "report.html").read_text(encoding="utf-8")
    assert not re.findall(r"https?://|ftp://|//cdn|xmlns|<script|<link|@import|javascript:", text)
    assert len(text) < 2_000_000


def test_an_address_or_password_in_recorded_text_does_not_reach_the_page(tmp_path: Path) -> None:
    write_run(tmp_path)
    run = orjson.loads((tmp_path / "run.json").read_bytes())
    address = "https:" + "//edge:8000"
    run["command"] = f"choreobench run checkout --dsn postgresql://me:covert@db/x?password=covert --http {address}"
    run["environment"]["broken"] = "<script>alert(1)</script>"
    (tmp_path / "run.json").write_bytes(orjson.dumps(run))
    text = report(tmp_path).read_text(encoding="utf-8")
    assert not re.findall(r"covert|https?://|<script", text)
    assert "&lt;script&gt;" in text


def test_verdicts_stand_first_and_beside_every_figure(struck: Path) -> None:
    text = (struck / "report.html").read_text(encoding="utf-8")
    assert text.index("<h1>Invalid</h1>") < text.index('id="figures"') < text.index('id="invariants"')
    assert "1 of 2 checkers found a violation: double-effect." in text
    figures = text[text.index('class="tiles"') : text.index("</dl>", text.index('class="tiles"'))]
    assert figures.count('class="chip') == figures.count("<dt>") == 9


def test_a_counter_example_tells_its_chain_of_events(struck: Path) -> None:
    text = (struck / "report.html").read_text(encoding="utf-8")
    assert "User 3 was charged twice for order 17" in text
    assert "Outcomes-topic[2]@1530" in text
    assert "choreobench run checkout --guarantee idempotent" in text
    assert "order-0 at crash:order@after-state#40" in text


def test_the_sagas_of_counter_examples_are_marked_on_the_timeline(struck: Path) -> None:
    first = pq.read_table(struck / "operations.parquet")["sent_ns"][17].as_py()
    assert moments_ns(struck, entities=["17_1", "3", "17_2"]) == [first]
    assert "▲ saga of a counter-example" in (struck / "report.html").read_text(encoding="utf-8")


def test_drawings_take_their_colours_from_the_page_and_come_in_two_widths(struck: Path) -> None:
    text = (struck / "report.html").read_text(encoding="utf-8")
    assert text.count('class="drawing wide"') == text.count('class="drawing narrow"') >= 6
    assert "#0a0b" not in text
    assert "stroke: var(--c1)" in text


@pytest.mark.parametrize("left", [(), ("run.json",), ("verdicts.json",), ("events.jsonl",), ("operations.parquet",)])
def test_an_incomplete_run_still_gets_its_page(tmp_path: Path, left: tuple[str, ...]) -> None:
    whole, partial = write_run(tmp_path / "whole"), tmp_path / "partial"
    partial.mkdir()
    for name in left:
        shutil.copy(whole / name, partial / name)
    measure(partial)
    text = report(partial).read_text(encoding="utf-8")
    assert "This run is incomplete" in text
    assert not parsed(partial / "report.html").wrong


def test_a_run_that_was_not_measured_says_so(tmp_path: Path) -> None:
    text = report(write_run(tmp_path)).read_text(encoding="utf-8")
    assert "This run has not been measured." in text


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no-such-run is no run folder"):
        report(tmp_path / "no-such-run")


def test_the_same_files_give_the_same_page(struck: Path) -> None:
    first = (struck / "report.html").read_bytes()
    report(struck)
    assert (struck / "report.html").read_bytes() == first


def test_ownership_ends_with_the_process_and_begins_with_the_next_assignment() -> None:
    rows = [
        {"event": "partitions-assigned", "process": "pay-0", "monotonic_ns": 1 * 10**9, "partitions": [0, 1]},
        {"event": "partitions-revoked", "process": "pay-0", "monotonic_ns": 3 * 10**9, "partitions": [1]},
        {"event": "partitions-assigned", "process": "pay-1", "monotonic_ns": 4 * 10**9, "partitions": [["t", 1]]},
        {"event": "process-exited", "process": "pay-0", "monotonic_ns": 5 * 10**9, "exit_code": -9},
    ]
    found = {(one.lane, one.process): (one.begin_s, one.end_s) for one in tenures(rows, begin_ns=0, end_s=9.0)}
    assert found == {("pay/0", "pay-0"): (1.0, 5.0), ("pay/1", "pay-0"): (1.0, 3.0), ("pay/1", "pay-1"): (4.0, 9.0)}


def test_the_index_lists_runs_newest_first_with_their_verdicts(struck: Path) -> None:
    runs = struck.parent
    write_run(runs / "20261122T080000Z-checkout")
    (runs / "not-a-run").mkdir()
    (runs / "latest").symlink_to(runs / "20261122T080000Z-checkout")
    text = index(runs).read_text(encoding="utf-8")
    assert "2 recorded, newest first." in text
    assert text.index("2026-11-22 08:00:00") < text.index("2026-11-21 10:15:00")
    assert 'href="20261121T101500Z-checkout/report.html"' in text
    assert '<span class="chip invalid">invalid</span>' in text
    assert not parsed(runs / "index.html").wrong


def test_the_index_lists_matrices_and_ceilings_with_how_many_of_their_claims_hold(tmp_path: Path) -> None:
    held, missed, open_ = ({"verdict": word} for word in ("held", "broken", "undecided"))
    sweeps = {
        "20261121T080000Z-matrix-kill/matrix.json": {"kind": "kill", "profile": "full", "claims": [held, missed]},
        "20261121T090000Z-raw/raw.json": {"profile": "standard", "claims": [{"verdict": "reached"}, open_]},
        "20261121T100000Z-matrix-crash/matrix.json": {"kind": "crash", "claims": [held], "complete": False},
    }
    for name, document in sweeps.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(orjson.dumps(document))
    text = index(tmp_path).read_text(encoding="utf-8")
    rows = [row for row in text.split("<tr")[2:] if "chip" in row]
    found = [re.search(r"chip (\w+).*", row) for row in rows]
    assert [one[1] for one in found if one] == ["unknown", "unknown", "invalid"]
    assert ["1 of 1" in rows[0], "1 of 2" in rows[1], "1 of 2" in rows[2]] == [True] * 3
    assert ["matrix crash" in rows[0], "raw standard" in rows[1], "matrix kill full" in rows[2]] == [True] * 3


def test_the_command_renders_page_and_index_and_leaves_a_foreign_index_alone(tmp_path: Path) -> None:
    run = write_run(tmp_path / "20261121T101500Z-checkout")
    assert main([str(run)]) == 0
    assert (run / "report.html").is_file()
    assert "1 recorded" in (tmp_path / "index.html").read_text(encoding="utf-8")
    (tmp_path / "index.html").write_text("<h1>my page</h1>", encoding="utf-8")
    assert main([str(run)]) == 0
    assert (tmp_path / "index.html").read_text(encoding="utf-8") == "<h1>my page</h1>"


def test_the_command_names_what_is_wrong_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "nothing")]) == 64
    assert main([]) == 64
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].endswith("nothing is no run folder")
    assert len(lines) == 2


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: the page was not opened in a browser")
@pytest.mark.parametrize("width", [1440, 400])
def test_a_browser_without_a_network_shows_the_page_without_sideways_scrolling(
    struck: Path, tmp_path: Path, width: int
) -> None:
    widest, drawings = shown_by_browser(struck / "report.html", tmp_path, width)
    assert widest <= width + 1
    assert drawings >= 6, "one drawing of each pair is visible"


def shown_by_browser(page: Path, folder: Path, width: int) -> tuple[float, int]:
    """Where the widest element ends, in pixels, and how many drawings can be seen."""
    probe = (
        "<script>document.title = 'widest ' + Math.max(...[...document.querySelectorAll('main *')]"
        ".filter(e => !e.closest('.scroll') && !e.closest('svg')).map(e => e.getBoundingClientRect().right))"
        " + ' shown ' + [...document.querySelectorAll('.drawing svg')].filter(e => e.getBoundingClientRect().width > 0)"
        ".length</script>"
    )
    text = page.read_text(encoding="utf-8")
    text = re.sub(r"<meta http-equiv[^>]*>", f"<style>body {{ width: {width}px }}</style>", text)
    (folder / "probe.html").write_text(text.replace("</body>", f"{probe}</body>"), encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--dump-dom"]
    options += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    options += ["--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={folder / 'profile'}"]
    command = [str(CHROMIUM), *options, f"--window-size={max(width, 500)},900", f"file://{folder / 'probe.html'}"]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=90, check=True).stdout
    found = re.search(r"<title>widest ([\d.]+) shown (\d+)</title>", shown)
    assert found is not None
    return float(found[1]), int(found[2])
