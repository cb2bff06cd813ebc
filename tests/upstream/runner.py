"""Run one function in a Python that has imported nothing of bootstrap-vz yet.

    python -m tests.upstream.runner MODULE:FUNCTION [--without KEY]...

The function gets an :class:`~tests.upstream.image.Image` in the current folder. ``KEY`` is the
repair or substitution to leave out: ``MODULE:REPAIR``, or the path of a file of bootstrap-vz.
"""

from __future__ import annotations

import argparse
import importlib
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bootstrapvz_sparse import upstream
from bootstrapvz_sparse.upstream import registry, translate

CHECK_FAILED = 3  # exit status; another one says that the function was never run
ROOT = Path(__file__).parent.parent.parent
TIME_LIMIT = 20  # seconds; without its repair, log_call never ends


def run(
    function: Callable[..., None], folder: Path, *, without: Sequence[str] = (), path: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run ``function`` in ``folder``, which is created.

    ``path`` comes first in the search path of modules.

    :raises subprocess.TimeoutExpired: it takes more than ``TIME_LIMIT``
    """
    folder.mkdir()
    name = f"{function.__module__}:{function.__name__}"
    options = [word for key in without for word in ("--without", key)]
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.upstream.runner", name, *options],
        cwd=folder,
        env={
            "HOME": str(folder),
            "LC_ALL": "C.UTF-8",
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": os.pathsep.join(filter(None, [path, str(ROOT)])),
        },
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT,
    )


def remove(key: str) -> None:
    """Leave out a repair or a substitution."""
    if ":" in key:
        module, _, name = key.partition(":")
        del registry.REPAIRS[module, name]
    else:
        del translate.SUBSTITUTIONS[key]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("--without", action="append", default=[])
    options = parser.parse_args()
    module, _, function = options.name.partition(":")
    os.umask(0o022)
    for key in options.without:
        remove(key)
    upstream.install()
    # they import bootstrap-vz
    from .image import Image

    check: Any = getattr(importlib.import_module(module), function)
    check = getattr(check, "check", check)
    image = Image(Path.cwd())
    try:
        check(image)
    except BaseException:
        traceback.print_exc()
        sys.exit(CHECK_FAILED)


if __name__ == "__main__":
    main()
