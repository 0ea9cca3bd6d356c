"""Matplotlib figures as inline SVG that takes its colours from the page, so that one drawing serves light and dark.

Colours are drawn as stand-ins that no one sees and exchanged for CSS variables afterwards; text stays text in the
page's own font; every address that SVG carries by habit (namespaces, DTD, RDF) is removed. Each drawing exists in two
widths, and the style sheet shows the one that fits, so that labels keep their size on a telephone.
"""

import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

WIDTHS: Final = {"wide": 1056, "narrow": 340}
LEFT, RIGHT, TOP, BOTTOM = 52, 10, 8, 24
ROLES: Final = (
    "ink",
    "muted",
    "grid",
    "shade",
    "surface",
    "bad",
    "c1",
    "c2",
    "c3",
    "c4",
    "c5",
    "c6",
    "c7",
    "c8",
)
STAND_INS: Final = {role: f"#0a0b{number:02x}" for number, role in enumerate(ROLES, start=16)}
"""Role in the style sheet (`--c1` and so on) → the colour that stands for it while matplotlib draws."""

STYLE: Final[dict[Any, Any]] = {
    "svg.fonttype": "none",
    "font.size": 11,
    "font.family": "DejaVu Sans",
    "path.simplify": True,
    "axes.unicode_minus": False,
}


def colour(role: str) -> str:
    """The stand-in of a role; raises KeyError for a role that the style sheet does not know."""
    return STAND_INS[role]


@contextmanager
def axes(width: int, *, height: int, left: int = LEFT) -> Iterator[Axes]:
    """Axes with margins in pixels, a quiet grid and no frame; read the drawing with `svg(axes.figure)`."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width / 72, height / 72), dpi=72)
        FigureCanvasSVG(figure)
        box = (left / width, BOTTOM / height, (width - left - RIGHT) / width, (height - TOP - BOTTOM) / height)
        plot = figure.add_axes(box)
        _quieten(plot)
        yield plot


def _quieten(plot: Axes) -> None:
    plot.patch.set_visible(False)
    plot.figure.patch.set_visible(False)
    for side in ("top", "right", "left"):
        plot.spines[side].set_visible(False)
    plot.spines["bottom"].set_color(colour("grid"))
    plot.tick_params(which="both", length=0, colors=colour("muted"), labelcolor=colour("muted"), pad=5)
    plot.grid(axis="y", color=colour("grid"), linewidth=1)
    plot.set_axisbelow(True)


def svg(plot: Axes, *, name: str) -> str:
    """The figure of the axes as an `<svg>` element without addresses; `name` keeps its ids apart from others'."""
    out = io.StringIO()
    figure = plot.get_figure(root=True)
    assert figure is not None, "axes are drawn on a figure"
    with mpl.rc_context({**STYLE, "svg.hashsalt": name}):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return _page_ready(out.getvalue(), name=name)


def _page_ready(text: str, *, name: str) -> str:
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r'\s+xmlns(:\w+)?="[^"]*"', "", text)
    text = text.replace("xlink:href=", "href=")
    text = re.sub(r'<svg [^>]*?viewBox="([^"]+)"[^>]*>', r'<svg viewBox="\1" role="img" aria-hidden="true">', text)
    text = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', text)
    text = re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', text)
    text = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", text)
    text = re.sub(r"font: ([\d.]+)px [^;\"]+", r"font-size: \1px", text)
    for role, stand_in in STAND_INS.items():
        text = text.replace(stand_in, f"var(--{role})")
    return re.sub(r">\s+<", "><", text)


def in_both_widths(name: str, draw: Callable[[int, str], str]) -> Markup:
    """`draw(width, name)` for each width, wrapped so that the style sheet shows one of them."""
    parts = [f'<div class="drawing {kind}">{draw(width, f"{name}-{kind}")}</div>' for kind, width in WIDTHS.items()]
    return Markup("".join(parts))
