"""The ledger of the build: begun, shown, and written to a file."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any, NoReturn

from bootstrapvz.base import Task
from bootstrapvz.common import phases
from bootstrapvz.common.exceptions import TaskError
from bootstrapvz.common.tasks import volume, workspace

from ...ledger.ledger import Ledger
from ...ledger.peak import Peak
from ...render.json import ledger_json
from ...render.text import ledger_text
from ...util.temporary import temporary
from ...util.text import printable
from ..settings import Settings

log = logging.getLogger(__name__)


def ledger(info: Any) -> Ledger:
    """The ledger of this build, begun when it is first asked for."""
    # bootstrap-vz gives each plugin a dictionary, by the name of its module
    book: Ledger = info._bootstrapvz_sparse.setdefault("ledger", Ledger())
    return book


def remark(info: Any, text: str) -> None:
    """Say something that the user should know, now and below the ledger."""
    log.warning("%s", printable(text))
    ledger(info).notes.append(text)


def above_limit(info: Any, reason: str) -> NoReturn:
    """Fail the build; the ledger is shown, and written to the report, before.

    :raises TaskError: ``reason``
    """
    log.info("%s", ledger_text(ledger(info)))
    ledger(info).notes.append(reason)
    _write(info, image=None, tarball=None)
    raise TaskError(reason)


def _write(info: Any, *, image: str | None, tarball: str | None) -> None:
    """Write the ledger to the file that the manifest names, if any."""
    path = _report(info)
    if path is None:
        return
    text = json.dumps(ledger_json(ledger(info), image=image, tarball=tarball), indent=2)
    with temporary(path) as file:
        with open(file.fd, "w", closefd=False) as stream:
            stream.write(f"{text}\n")
        os.fchmod(file.fd, 0o644)
        file.place(path)


def _report(info: Any) -> Path | None:
    settings = Settings.of(info.manifest.plugins)
    if settings.report is None:
        return None
    return Path(settings.report.format(**info.manifest_vars)).absolute()


class CheckReport(Task):
    """That the file can be written, before anything is created."""

    description = "Checking the path of the report"
    phase = phases.validation

    @classmethod
    def run(cls, info: Any) -> None:
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
            raise TaskError(f"plugins.sparse.report: no such placeholder: {error}") from error


class Begin(Task):
    """The first entry, however the volume was created, and the watch on its peak."""

    description = "Beginning the ledger"
    phase = phases.volume_creation
    predecessors = [volume.Attach]

    @classmethod
    def run(cls, info: Any) -> None:
        image = Path(info.volume.image_path)
        ledger(info).measure("created", image)
        info._bootstrapvz_sparse["peak"] = Peak(image)


class Show(Task):
    """The last word of a build."""

    description = "What each stage left allocated"
    phase = phases.cleaning
    predecessors = [workspace.DeleteWorkspace]

    @classmethod
    def run(cls, info: Any) -> None:
        log.info("%s", ledger_text(ledger(info)))
        # the image is deleted where a tarball is made of it
        image = getattr(info.volume, "image_path", None)
        _write(info, image=image, tarball=getattr(info, "_gce", {}).get("tarball_path"))
