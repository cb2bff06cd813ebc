"""Loop devices and the files that they are attached to, as sysfs tells of them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

PATIENCE = 10  # seconds


def attached() -> Iterator[tuple[str, str]]:
    """Each loop device in use, ``/dev/loop0`` and so on, with the path of its file.

    The kernel cuts long paths off, and does not see the names of mount namespaces.
    """
    for attribute in Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            backing = attribute.read_text().rstrip("\n")
        except OSError:
            continue  # detached meanwhile
        yield f"/dev/{attribute.parent.parent.name}", backing.removesuffix(" (deleted)")


def devices(image: Path) -> list[str]:
    """The loop devices that ``image`` is attached to."""
    found = []
    for device, backing in attached():
        try:
            if os.path.samefile(backing, image):
                found.append(device)
        except OSError:
            continue  # its file is gone
    return found


def wait_until_detached(image: Path) -> None:
    """The kernel detaches later while somebody, such as udev, looks at the device."""
    deadline = time.monotonic() + PATIENCE
    while devices(image) and time.monotonic() < deadline:
        time.sleep(0.1)
