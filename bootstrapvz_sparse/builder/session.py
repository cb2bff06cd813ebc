"""Run a manifest, and leave nothing behind when that fails."""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import upstream
from ..upstream import loop_partitions
from ..util import programs
from ..util.errors import SparseError
from ..util.signals import (
    ENDING,
    defer_signals,
    handlers,
    interrupt_once,
)
from . import leftovers
from .preflight import problems
from .record import Record

if TYPE_CHECKING:
    from .console import ConsoleHandler

log = logging.getLogger(__name__)


class BuildError(SparseError):
    """The build cannot be done or has failed; the text says why, in a line or a few."""


@dataclass(frozen=True)
class Options:
    """The options of bootstrap-vz itself; ``log`` is a folder, or None for no log file.

    ``live``: stderr is a terminal, whose last line may be written over and over.
    ``partition_mapper`` is one of :data:`..upstream.loop_partitions.MAPPERS`.
    """

    manifest: Path
    log: Path | None = Path("/var/log/bootstrap-vz")
    debug: bool = False
    dry_run: bool = False
    pause_on_error: bool = False
    colour: bool = False
    live: bool = False
    partition_mapper: str = "auto"


def build(options: Options) -> None:
    """Build the image that the manifest describes.

    :raises BuildError: what is wrong; nothing was created, or all of it was undone
    """
    _prepare_environment()
    try:
        upstream.install()
        loop_partitions.select(options.partition_mapper)
    except ImportError as error:
        raise BuildError(str(error)) from error
    if os.geteuid() != 0 and not options.dry_run:
        raise BuildError("building an image needs root; --dry-run does not")
    info, tasks = _prepare(_load(options.manifest), options)
    with _logging(options) as (console, logfile):
        where = f"\nlog: {logfile}" if logfile else ""
        try:
            console.phases = _phases(tasks)
            began = time.monotonic()
            _run(info, tasks, options)
            if not options.dry_run:
                log.info("done in %s", _duration(time.monotonic() - began))
        except (Exception, KeyboardInterrupt) as error:
            raise BuildError(f"{_cause(error, console.said)}{where}") from error
        finally:
            console.finish()
    if console.lost:
        raise BuildError(f"the build is done, but not all it said could be printed{where}")


def _prepare_environment() -> None:
    os.environ["PATH"] = programs.search_path()
    # what programs print is parsed, and the host's language need not exist in the image
    os.environ["LC_ALL"] = "C.UTF-8"
    os.environ["DEBIAN_FRONTEND"] = "noninteractive"


def _load(path: Path) -> Any:
    """The validated manifest at ``path``."""
    import yaml  # where bootstrap-vz is not installed that is to be said first
    from bootstrapvz.base.manifest import Manifest
    from bootstrapvz.common.exceptions import ManifestError
    from bootstrapvz.common.releases import UnknownReleaseException

    try:
        manifest = Manifest(path=str(path))
    except ManifestError as error:
        place = ".".join(str(key) for key in error.data_path or ())
        message = " ".join(error.message.split())
        raise BuildError(": ".join(filter(None, (str(path), place, message)))) from error
    except UnknownReleaseException as error:
        raise BuildError(f"{path}: system.release: {error}") from error
    except yaml.YAMLError as error:
        raise BuildError(f"{path}: no YAML: {_cause(error)}") from error
    except Exception as error:
        missing = getattr(error, "name", None) or ""
        if missing.startswith(("bootstrapvz.providers.", "bootstrapvz.plugins.")):
            kind, name = missing.split(".")[1:3]
            raise BuildError(f"{path}: there is no {name} among the {kind}") from error
        raise BuildError(f"{path}: {_cause(error)}") from error
    # mount points are compared with absolute paths, without links
    workspace = os.path.realpath(manifest.bootstrapper["workspace"])
    manifest.bootstrapper["workspace"] = workspace
    return manifest


@contextlib.contextmanager
def _logging(options: Options) -> Iterator[tuple[ConsoleHandler, Path | None]]:
    """The console, and the path of the log file, for the time of one build."""
    from bootstrapvz.base.log import get_file_handler, get_log_filename

    from .console import ConsoleHandler

    root = logging.getLogger()
    console = ConsoleHandler(
        sys.stderr, colour=options.colour, debug=options.debug, live=options.live
    )
    handlers: list[logging.Handler] = [console]
    logfile = None
    if options.log is not None:
        logfile = options.log.absolute() / get_log_filename(str(options.manifest))
        try:
            handlers.append(get_file_handler(path=str(logfile), debug=True))
        except OSError as error:
            raise BuildError(
                f"cannot write the log {logfile}: {error.strerror} (--log FOLDER, or --log -)"
            ) from error
    before = root.level, logging.raiseExceptions
    root.setLevel(logging.NOTSET)
    logging.raiseExceptions = False  # no traceback for each line that a full disk does not take
    for handler in handlers:
        root.addHandler(handler)
    try:
        yield console, logfile
    finally:
        level, logging.raiseExceptions = before
        root.setLevel(level)
        for handler in handlers:
            root.removeHandler(handler)
            handler.close()


def _phases(tasks: set[Any]) -> dict[str, str]:
    """The phase of each task, by what bootstrap-vz logs as the task begins."""
    return {getattr(task, "description", f"Running {task}"): task.phase.name for task in tasks}


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


def _prepare(manifest: Any, options: Options) -> tuple[Any, set[Any]]:
    """bootstrap-vz's information on the build and its tasks, after a look at what they need."""
    from bootstrapvz.base.bootstrapinfo import BootstrapInformation
    from bootstrapvz.base.tasklist import load_tasks

    try:
        tasks = load_tasks("resolve_tasks", manifest)
        info = BootstrapInformation(manifest=manifest, debug=options.debug)
        found = [] if options.dry_run else list(problems(info, tasks))
    except Exception as error:
        raise BuildError(f"{options.manifest}: {_cause(error)}") from error
    if found:
        raise BuildError("\n".join(f"{options.manifest}: {problem}" for problem in found))
    return info, tasks


def _run(info: Any, tasks: set[Any], options: Options) -> None:
    """What ``bootstrapvz.base.main.run`` does, and a rollback that leaves nothing behind."""
    from bootstrapvz.base.tasklist import TaskList

    tasklist, record = TaskList(tasks), Record(Path(info.workspace))
    with interrupt_once(), _marked(info.workspace):
        try:
            if not options.dry_run:
                with defer_signals():
                    record.begin()
            tasklist.run(info=info, dry_run=options.dry_run)
            with _uninterrupted():
                record.delete()
        except (Exception, KeyboardInterrupt) as error:
            with _uninterrupted():
                log.exception(error)
                full = not options.dry_run and _is_full(info.workspace)
                if options.pause_on_error:
                    with contextlib.suppress(EOFError):  # nobody is there to press it
                        input("Press Enter to commence rollback")
                if not options.dry_run:
                    _roll_back(info, tasklist, record)
            if full:
                workspace = info.manifest.bootstrapper["workspace"]
                raise BuildError(f"the disk of {workspace} is full: {_cause(error)}") from error
            raise
        finally:
            record.close()


@contextlib.contextmanager
def _marked(folder: str) -> Iterator[None]:
    """Let all programs that are started know whose they are."""
    os.environ[leftovers.MARK] = folder
    try:
        yield
    finally:
        os.environ.pop(leftovers.MARK, None)


def _is_full(folder: str) -> bool:
    """Within the image this looks like any I/O error, and its own filesystem has room."""
    try:
        status = os.statvfs(folder)
    except OSError:
        return False
    return status.f_bavail * 100 < status.f_blocks  # less than one per cent


def _roll_back(info: Any, tasklist: Any, record: Record) -> None:
    """Undo what the completed tasks did, and whatever the one that failed left half-done."""
    from bootstrapvz.base.tasklist import TaskList, load_tasks

    log.error("Rolling back")
    workspace = Path(info.workspace)
    leftovers.end_processes(workspace, leftovers.SERVERS)
    if hasattr(info, "root"):  # what bootstrap-vz does not know of keeps it from unmounting
        known = [os.path.join(info.root, point) for point in info.volume.partition_map.root.mounts]
        leftovers.unmount(Path(info.root), keep=[info.root, *known])

    def counter_task(taskset: set[Any], task: Any, counter: Any) -> None:
        completed = tasklist.tasks_completed
        if task in completed and counter not in completed:
            taskset.add(counter)

    try:
        tasks = load_tasks(
            "resolve_rollback_tasks", info.manifest, tasklist.tasks_completed, counter_task
        )
        TaskList(tasks).run(info=info, dry_run=False)
    except Exception as error:
        log.exception(error)
    left = leftovers.undo(workspace)
    for leftover in left:
        log.error("%s %s", leftover.name, leftover.still)
    if left:
        log.error("bvz-sparse clean %s tries again", shlex.quote(str(workspace.parent)))
    else:
        record.delete()


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """A rollback runs to its end: a second Ctrl-C would leave half of it behind."""
    with handlers(signal.SIG_IGN, *ENDING):
        yield


def _cause(error: BaseException, said: str = "") -> str:
    """What went wrong, in one line; ``said`` is what a program printed last."""
    if isinstance(error, KeyboardInterrupt):
        return f"interrupted by {error}" if str(error) else "interrupted"
    if isinstance(error, subprocess.CalledProcessError):
        # bootstrap-vz keeps what went to stderr; debootstrap names its errors on stdout
        lines = [line.strip() for line in (error.output or said).splitlines() if line.strip()]
        reason = f": {lines[-1]}" if lines else ""
        command = error.cmd if isinstance(error.cmd, str) else shlex.join(error.cmd)
        if len(command) > 80:
            command = f"{command[:77]}..."
        return f"`{command}' ended with status {error.returncode}{reason}"
    text = " ".join(str(error).split())
    return text or type(error).__name__
