"""What the pictures share: a sheet of paper, its text, and fills that greyscale keeps apart.

The colours are those of Okabe and Ito, https://jfly.uni-koeln.de/color/, which people tell apart
whatever colours they see; and each fill has a pattern of its own. The paper is always white, so
that a picture looks the same on a dark page.
"""

from __future__ import annotations

from collections.abc import Iterable
from xml.etree.ElementTree import Element

from .markup import SVG, element

WIDTH, MARGIN = 800, 24  # pixels
INK, FAINT, RULE = "#1a1a1a", "#4d4d4d", "#bfbfbf"
FONT = "system-ui, 'Segoe UI', 'DejaVu Sans', 'Liberation Sans', Arial, sans-serif"
TILE = 10  # pixels of a side of a pattern

# For each fill its ground, and what is drawn on it: a path, the colour and width of its line.
FILLS = {
    "in use": ("#0072b2", "", "", 0.0),
    "zero": ("#f0e442", "M2.5 2.4v.2M7.5 2.4v.2M2.5 7.4v.2M7.5 7.4v.2", "#1a1a1a", 1.8),
    "free": ("#ffffff", "M-2 7L7 -2M-2 12L12 -2M3 12L12 3", "#d55e00", 2.2),
    "journal": ("#cc79a7", "M0 2.5h10M0 7.5h10", "#5c1f42", 1.4),
    "swap": ("#ffffff", "M2.5 0v10M7.5 0v10", "#009e73", 2.6),
    "unwritten": ("#ffffff", "M0 2.5h10M0 7.5h10M2.5 0v10M7.5 0v10", "#3591c9", 1.2),
    "hole": ("#f5f5f5", "M5 4.6v.8", "#9a9a9a", 1.0),
    "above": ("#d55e00", "M0 5h10", "#ffffff", 2.0),
}


class Drawing:
    """A sheet that gets as long as it has to be.

    ``title`` and ``description`` are for those who do not see it. ``prefix`` begins all its ids,
    so that several can be in one page.
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
        self._known: set[str] = set()

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
        return element(self.root, "rect", "", x=x, y=y, width=width, height=height, **attributes)

    def path(self, steps: Iterable[str], *, tip: str = "", **attributes: str | float) -> None:
        """A path; ``tip`` is shown where a pointer rests on it."""
        made = element(self.root, "path", "", d="".join(steps), **attributes)
        if tip:
            element(made, "title", tip)

    def rule(self, y: float) -> None:
        self.path([f"M{MARGIN} {y}H{WIDTH - MARGIN}"], stroke=RULE, fill="none")

    def fill(self, name: str) -> str:
        """The value of the attribute ``fill`` for one of :data:`FILLS`."""
        ground, steps, colour, width = FILLS[name]
        if not steps:
            return ground
        id_ = f"{self.prefix}{name.replace(' ', '-')}"
        if name not in self._known:
            self._known.add(name)
            pattern = element(
                self._defs,
                "pattern",
                id=id_,
                width=TILE,
                height=TILE,
                patternUnits="userSpaceOnUse",
            )
            element(pattern, "rect", width=TILE, height=TILE, fill=ground)
            element(
                pattern,
                "path",
                d=steps,
                stroke=colour,
                stroke_width=width,
                stroke_linecap="round" if "v." in steps else "butt",
                fill="none",
            )
        return f"url(#{id_})"

    def swatch(self, x: float, y: float, name: str) -> None:
        """A sample of a fill, beside the text whose base line is at ``y``."""
        self.rect(x + 0.5, y - 12.5, 16, 14, fill=self.fill(name), stroke=FAINT)

    def end(self, height: float) -> Element:
        """The drawing is complete, and ``height`` pixels high."""
        self._paper.set("height", f"{height - 1:g}")
        self.root.set("height", f"{height:g}")
        self.root.set("viewBox", f"0 0 {WIDTH} {height:g}")
        return self.root


def shortened(text: str, most: int) -> str:
    """``text`` in ``most`` characters: the middle goes, since names differ at both ends."""
    if len(text) <= most:
        return text
    return f"{text[: most - most // 2 - 1]}…{text[len(text) - most // 2 :]}"
