"""An image divided into cells of equal size, each shown as the kind of most of its bytes."""

from __future__ import annotations

from collections.abc import Mapping

from ..image.extents import Ranges
from .kinds import KINDS


def cell_size(size: int, block: int, max_cells: int) -> int:
    """Return the size of a cell in bytes, so that ``size`` bytes fill at most ``max_cells`` cells.

    It is ``block`` times a power of two; ``block`` itself where ``max_cells`` is below 1.
    """
    cell = block
    while max_cells > 0 and cell * max_cells < size:
        cell *= 2
    return cell


def cells(kinds: Mapping[str, Ranges], start: int, end: int, cell: int) -> list[str]:
    """Return the predominant kind of each cell of ``cell`` bytes in ``[start, end)``.

    All ranges lie within it. Bytes without a kind count as a hole. The last cell may be shorter.
    """
    predominant = [("hole", 0)] * -(-(end - start) // cell)
    for kind in KINDS:
        bytes_by_cell: dict[int, int] = {}
        for first, last in kinds[kind]:
            position = first
            while position < last:
                index = (position - start) // cell
                upto = min(last, start + (index + 1) * cell)
                bytes_by_cell[index] = bytes_by_cell.get(index, 0) + upto - position
                position = upto
        for index, size in bytes_by_cell.items():
            if size > predominant[index][1]:
                predominant[index] = kind, size
    return [kind for kind, _ in predominant]
