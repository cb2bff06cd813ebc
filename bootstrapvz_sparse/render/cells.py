"""An image in cells of equal size, each of which stands for what most of its bytes are."""

from __future__ import annotations

from collections.abc import Mapping

from ..image.extents import Ranges
from ..image.survey import KINDS


def cell_size(size: int, block: int, most: int) -> int:
    """Bytes of a cell: ``block`` times a power of two, so that ``size`` is ``most`` cells or less.

    It is ``block`` alone where ``most`` is less than one cell.
    """
    cell = block
    while most > 0 and cell * most < size:
        cell *= 2
    return cell


def cells(kinds: Mapping[str, Ranges], start: int, end: int, cell: int) -> list[str]:
    """For each ``cell`` bytes of ``[start, end)`` the kind that most of them are.

    The ranges are all within it. Bytes of no kind count as a hole. The last cell may be shorter.
    """
    most = [("hole", 0)] * -(-(end - start) // cell)
    for kind in KINDS:
        counted: dict[int, int] = {}
        for first, last in kinds[kind]:
            position = first
            while position < last:
                index = (position - start) // cell
                upto = min(last, start + (index + 1) * cell)
                counted[index] = counted.get(index, 0) + upto - position
                position = upto
        for index, size in counted.items():
            if size > most[index][1]:
                most[index] = kind, size
    return [kind for kind, _ in most]
