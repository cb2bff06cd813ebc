"""Begin the ledger of the build, print it, and write it to the report."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import NoReturn

from bootstrapvz.base import Task
from bootstrapvz.common import phases
from bootstrapvz.common.exceptions import TaskError
from bootstrapvz.common.tasks import volume, workspace

from ...ledger.peak import Peak
from ...render.json import ledger_json
from ...render.text import ledger_text
from ...util.temporary import temporary
from ...util.text import printable
from .. import context
from ..context import Info
from .keep import OverLimit

log = logging.getLogger(__name__)


def warn(info: Info, text: str) -> None:
    """Log a warning and add it to the notes below the ledger."""
    log.warning("%s", printable(text))
    context.state(info).ledger.notes.append(text)


def above_limit(info: Info, reason: str) -> NoReturn:
    """Print the ledger, write the report, and fail the build.

    :raises OverLimit: always; ``reason`` is its text
    """
    ledger = context.state(info).ledger
    log.info("%s", ledger_text(ledger))
    ledger.notes.append(reason)
    _write(info, image=None, tarball=None)
    raise OverLimit(reason)


def _write(info: Info, *, image: str | None, tarball: str | None) -> None:
    """Write the ledger to the file named by the manifest, if any."""
    path = _report(info)
    if path is None:
        return
    text = json.dumps(
        ledger_json(context.state(info).ledger, image=image, tarball=tarball), indent=2
    )
    with temporary(path) as file:
        with open(file.fd, "w", closefd=False) as stream:
            stream.write(f"{text}\n")
        os.fchmod(file.fd, 0o644)
        file.place(path)


def _report(info: Info) -> Path | None:
    """Return the path of the report; None if the manifest names none."""
    report = context.settings(info).report
    if report is None:
        return None
    return Path(report.format(**info.manifest_vars)).absolute()


class CheckReport(Task):
    """Check that the report can be written, before anything is created."""

    description = "Checking the path of the report"
    phase = phases.validation

    @classmethod
    def run(cls, info: Info) -> None:
        try:
            path = _report(info)
            assert path
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                raise TaskError(f"plugins.sparse.report: {path} is a directory")
            with temporary(path):
                pass
        except OSError as error:
            raise TaskError(f"plugins.sparse.report: {path}: {error.strerror}") from error
        except (AttributeError, KeyError, IndexError, ValueError) as error:
            raise TaskError(f"plugins.sparse.report: unknown placeholder: {error}") from error


class Begin(Task):
    """Add the first entry, however the volume was created, and start measuring the peak."""

    description = "Beginning the ledger"
    phase = phases.volume_creation
    predecessors = [volume.Attach]

    @classmethod
    def run(cls, info: Info) -> None:
        image = Path(info.volume.image_path)
        state = context.state(info)
        state.ledger.measure("created", image)
        state.peak = Peak(image)


class Show(Task):
    """Print the ledger at the end of the build, and write the report."""

    description = "Showing the disk space of each stage"
    phase = phases.cleaning
    predecessors = [workspace.DeleteWorkspace]

    @classmethod
    def run(cls, info: Info) -> None:
        log.info("%s", ledger_text(context.state(info).ledger))
        # there is no image once a tarball has been made of it
        image = getattr(info.volume, "image_path", None)
        _write(info, image=image, tarball=getattr(info, "_gce", {}).get("tarball_path"))
