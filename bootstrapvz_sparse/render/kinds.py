"""The kinds of bytes of an image: a table of their signs, colours, fills and meanings.

The colours are those of Okabe and Ito, https://jfly.uni-koeln.de/color/, which people with any
colour vision can tell apart. Each fill has its own pattern as well, so that greyscale prints stay
legible.
"""

from __future__ import annotations

from typing import NamedTuple


class Fill(NamedTuple):
    """A ground colour, and the pattern on it.

    ``path`` holds the steps of an SVG path in a tile of 10 by 10 pixels, "" for a plain ground;
    ``line`` and ``width`` are the colour and the width in pixels of its stroke.
    """

    ground: str
    path: str = ""
    line: str = ""
    width: float = 0.0


class Kind(NamedTuple):
    """The appearance and the meaning of one kind of bytes.

    ``sign`` and ``ascii_sign`` stand for a cell on a terminal. ``sgr`` selects the terminal colour
    nearest to the fill's colour (ECMA-48, SGR; xterm's palette of 256).
    """

    sign: str
    ascii_sign: str
    sgr: str
    fill: Fill
    meaning: str


# The names and their order are those of image.plans.KINDS.
KINDS = {
    "in use": Kind("█", "#", "38;5;25", Fill("#0072b2"), "needed"),
    "zero": Kind(
        "0",
        "0",
        "38;5;221",
        Fill("#f0e442", "M2.5 2.4v.2M7.5 2.4v.2M2.5 7.4v.2M7.5 7.4v.2", "#1a1a1a", 1.8),
        "blocks that hold only zeros",
    ),
    "free": Kind(
        "░",
        "-",
        "38;5;166",
        Fill("#ffffff", "M-2 7L7 -2M-2 12L12 -2M3 12L12 3", "#d55e00", 2.2),
        "unused by the filesystem",
    ),
    "journal": Kind(
        "j",
        "j",
        "38;5;175",
        Fill("#cc79a7", "M0 2.5h10M0 7.5h10", "#5c1f42", 1.4),
        "the log of an empty journal",
    ),
    "swap": Kind(
        "s",
        "s",
        "38;5;35",
        Fill("#ffffff", "M2.5 0v10M7.5 0v10", "#009e73", 2.6),
        "swap space after its header",
    ),
    "unwritten": Kind(
        "u",
        "u",
        "38;5;68",
        # sky blue, darkened to a contrast of 3 with the ground
        Fill("#ffffff", "M0 2.5h10M0 7.5h10M2.5 0v10M7.5 0v10", "#3591c9", 1.2),
        "allocated but never written",
    ),
    "hole": Kind(
        "·",
        ".",
        "38;5;247",
        Fill("#f5f5f5", "M5 4.6v.8", "#9a9a9a", 1.0),
        "takes no space on disk",
    ),
}
