"""The sheet that pictures are drawn on: its size, text and fills.

The background is always white, so a picture looks the same on a dark page.
"""

from __future__ import annotations

from collections.abc import Iterable
from xml.etree.ElementTree import Element

from .kinds import KINDS, Fill
from .markup import SVG, element

WIDTH, MARGIN = 800, 24  # pixels
INK, FAINT, RULE = "#1a1a1a", "#4d4d4d", "#bfbfbf"
FONT = "system-ui, 'Segoe UI', 'DejaVu Sans', 'Liberation Sans', Arial, sans-serif"
TILE = 10  # pixels of a side of a pattern

# The fills by name: the kinds of bytes, and bars above a limit.
FILLS = {
    **{name: kind.fill for name, kind in KINDS.items()},
    "above": Fill("#d55e00", "M0 5h10", "#ffffff", 2.0),
}


class Drawing:
    """A sheet of a fixed width, and as high as its contents.

    ``title`` and ``description`` are for screen readers. ``prefix`` begins all ids, so that one
    page can hold several drawings.
    """

    def __init__(self, title: str, description: str, prefix: str = "") -> None:
        self.prefix = prefix
        self.root = element(
            None,
            "svg",
            xmlns=SVG,
            width=WIDTH,
            role="img",
            font_family=FONT,
            font_size=13,
            fill=INK,
            aria_labelledby=f"{prefix}title {prefix}desc",
        )
        element(self.root, "title", title, id=f"{prefix}title")
        element(self.root, "desc", description, id=f"{prefix}desc")
        self._defs = element(self.root, "defs")
        self._paper = self.rect(0.5, 0.5, WIDTH - 1, 0, fill="#ffffff", stroke=RULE, rx=4)
        self._defined: set[str] = set()

    def text(
        self,
        x: float,
        y: float,
        content: str,
        *,
        size: float = 13,
        anchor: str = "start",
        bold: bool = False,
        fill: str = INK,
    ) -> None:
        """Write ``content`` with its base line at ``y``."""
        more = {"font_weight": "600"} if bold else {}
        element(
            self.root,
            "text",
            content,
            x=x,
            y=y,
            font_size=size,
            text_anchor=anchor,
            fill=fill,
            **more,
        )

    def rect(
        self, x: float, y: float, width: float, height: float, **attributes: str | float
    ) -> Element:
        """Draw a rectangle."""
        return element(self.root, "rect", "", x=x, y=y, width=width, height=height, **attributes)

    def path(self, steps: Iterable[str], *, tip: str = "", **attributes: str | float) -> None:
        """Draw a path; ``tip`` is its tooltip."""
        drawn = element(self.root, "path", "", d="".join(steps), **attributes)
        if tip:
            element(drawn, "title", tip)

    def rule(self, y: float) -> None:
        """Draw a line across the sheet."""
        self.path([f"M{MARGIN} {y}H{WIDTH - MARGIN}"], stroke=RULE, fill="none")

    def fill(self, name: str) -> str:
        """Return the value of the attribute ``fill`` for one of :data:`FILLS`."""
        fill = FILLS[name]
        if not fill.path:
            return fill.ground
        id_ = f"{self.prefix}{name.replace(' ', '-')}"
        if name not in self._defined:
            self._defined.add(name)
            pattern = element(
                self._defs,
                "pattern",
                id=id_,
                width=TILE,
                height=TILE,
                patternUnits="userSpaceOnUse",
            )
            element(pattern, "rect", width=TILE, height=TILE, fill=fill.ground)
            element(
                pattern,
                "path",
                d=fill.path,
                stroke=fill.line,
                stroke_width=fill.width,
                stroke_linecap="round" if "v." in fill.path else "butt",
                fill="none",
            )
        return f"url(#{id_})"

    def swatch(self, x: float, y: float, name: str) -> None:
        """Draw a sample of a fill beside text with the base line ``y``."""
        self.rect(x + 0.5, y - 12.5, 16, 14, fill=self.fill(name), stroke=FAINT)

    def end(self, height: float) -> Element:
        """Set the height in pixels, and return the complete drawing."""
        self._paper.set("height", f"{height - 1:g}")
        self.root.set("height", f"{height:g}")
        self.root.set("viewBox", f"0 0 {WIDTH} {height:g}")
        return self.root


def shortened(text: str, max_length: int) -> str:
    """Return ``text``, with its middle cut out if it exceeds ``max_length`` characters."""
    if len(text) <= max_length:
        return text
    tail = max_length // 2
    return f"{text[: max_length - tail - 1]}…{text[len(text) - tail :]}"
