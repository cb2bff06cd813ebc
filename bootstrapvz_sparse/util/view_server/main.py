"""The program's main function; see :func:`main`."""

from __future__ import annotations

import os
import sys

from .pieces import SHOWN, Pieces, unpack
from .process import Unavailable, end_with
from .ways import by_fusermount, by_loop_device, by_namespace


def main() -> None:
    """Run COMMAND on the file, with its exit status; arguments: WAY PARENT FDS HELPER COMMAND.

    WAY is ``namespace``, ``fusermount3`` or ``loop``. PARENT is the process that starts this one;
    this process ends with it. FDS are three inherited descriptors, separated by commas: the image,
    the packed pieces, and a report, which is ``SHOWN`` if COMMAND was run, or else the reason why
    the file cannot be shown. HELPER is the path of fusermount3, or the label for a loop device. In
    COMMAND, ``@`` stands for the path of the file.
    """
    way, parent, fds, helper, *command = sys.argv[1:]
    end_with(int(parent))
    image, packed, report = map(int, fds.split(","))
    for fd in (image, packed, report):
        os.set_inheritable(fd, False)
    pieces = Pieces(image, unpack(os.pread(packed, os.fstat(packed).st_size, 0)))
    try:
        if way == "namespace":
            status = by_namespace(pieces, command, int(parent))
        elif way == "fusermount3":
            status = by_fusermount(pieces, command, helper)
        else:
            status = by_loop_device(pieces, command, helper)
    except (Unavailable, OSError) as error:
        status, text = 1, str(error)
    else:
        text = SHOWN
    os.write(report, text.encode(errors="replace"))
    sys.exit(status)
