"""Build the image that a manifest describes, and undo everything when that fails.

bootstrap-vz is imported in functions: :func:`..upstream.install` must come first.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import upstream
from ..upstream import loop_partitions
from ..util import programs
from ..util.namespace import private_mounts
from ..util.signals import defer_signals, interrupt_once
from . import leftovers
from .failure import BuildError, cause
from .preflight import problems, unsafe_workspace
from .record import Record
from .rollback import is_full, roll_back, uninterrupted

if TYPE_CHECKING:
    from .console import ConsoleHandler

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """The options of bootstrap-vz itself; ``log`` is a folder, or None for no log file.

    ``live``: stderr is a terminal whose last line may be overwritten.
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

    :raises BuildError: it cannot be built; nothing was created, or everything was undone
    """
    _prepare_environment()
    try:
        upstream.install()
        loop_partitions.select(options.partition_mapper)
    except ImportError as error:
        raise BuildError(str(error)) from error
    if os.geteuid() != 0 and not options.dry_run:
        raise BuildError("building an image needs root (--dry-run does not)")
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
            reason = cause(error, console.last_line)
            raise BuildError(f"{reason}{_kept(info)}{where}") from error
        finally:
            console.finish()
    if console.lost:
        raise BuildError(f"the image was built, but some of the output could not be printed{where}")


def _prepare_environment() -> None:
    os.environ["PATH"] = programs.search_path()
    # program output is parsed, and the host's locale may be missing from the image
    os.environ["LC_ALL"] = "C.UTF-8"
    os.environ["DEBIAN_FRONTEND"] = "noninteractive"


def _load(path: Path) -> Any:
    """Return the validated manifest at ``path``.

    :raises BuildError: it is not valid
    """
    import yaml  # comes with bootstrap-vz, whose absence is reported first
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
        raise BuildError(f"{path}: not valid YAML: {cause(error)}") from error
    except Exception as error:
        missing = getattr(error, "name", None) or ""
        if missing.startswith(("bootstrapvz.providers.", "bootstrapvz.plugins.")):
            kind, name = missing.split(".")[1:3]
            raise BuildError(f"{path}: {kind}: unknown {kind[:-1]} {name}") from error
        raise BuildError(f"{path}: {cause(error)}") from error
    # mount points are compared with absolute paths without symbolic links
    workspace = os.path.realpath(manifest.bootstrapper["workspace"])
    manifest.bootstrapper["workspace"] = workspace
    return manifest


@contextlib.contextmanager
def _logging(options: Options) -> Iterator[tuple[ConsoleHandler, Path | None]]:
    """Log to the console and the log file during one build; yield the two.

    :raises BuildError: the log file cannot be written
    """
    from bootstrapvz.base.log import get_file_handler, get_log_filename

    from .console import ConsoleHandler  # needs rich

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
                f"{logfile}: cannot write the log: {error.strerror} (--log FOLDER, or --log -)"
            ) from error
    before = root.level, logging.raiseExceptions
    root.setLevel(logging.NOTSET)
    logging.raiseExceptions = False  # no traceback for each line that a full disk rejects
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
    """Map the line that bootstrap-vz logs as a task begins to the task's phase."""
    return {getattr(task, "description", f"Running {task}"): task.phase.name for task in tasks}


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


def _prepare(manifest: Any, options: Options) -> tuple[Any, set[Any]]:
    """Return bootstrap-vz's information on the build and its tasks, after the preflight.

    :raises BuildError: the preflight found problems
    """
    from bootstrapvz.base.bootstrapinfo import BootstrapInformation
    from bootstrapvz.base.tasklist import load_tasks

    try:
        tasks = load_tasks("resolve_tasks", manifest)
        info = BootstrapInformation(manifest=manifest, debug=options.debug)
        lines = [] if options.dry_run else list(problems(info, tasks, options.manifest))
    except Exception as error:
        raise BuildError(f"{options.manifest}: {cause(error)}") from error
    if lines:
        raise BuildError("\n".join(f"{options.manifest}: {line}" for line in lines))
    return info, tasks


def _run(info: Any, tasks: set[Any], options: Options) -> None:
    """Run the tasks as ``bootstrapvz.base.main.run`` does, but with a complete rollback.

    :raises BuildError: the disk is full, or there can be no mount namespace
    """
    from bootstrapvz.base.tasklist import TaskList

    tasklist = TaskList(tasks)
    if options.dry_run:
        tasklist.run(info=info, dry_run=True)
        return
    record = Record(Path(info.workspace))
    with interrupt_once(), _surroundings(info.workspace), contextlib.closing(record):
        try:
            with defer_signals():
                record.begin()
            if reason := unsafe_workspace(record.folder.parent, options.manifest):
                raise BuildError(reason)
            with _noting_the_folder(record):
                tasklist.run(info=info)
            with uninterrupted():
                record.delete()
        except (Exception, KeyboardInterrupt) as error:
            with uninterrupted():
                log.exception(error)
                full = is_full(info.workspace)
                if options.pause_on_error:
                    _pause(info)
                roll_back(info, tasklist.tasks_completed, record)
            if full:
                workspace = info.manifest.bootstrapper["workspace"]
                raise BuildError(f"{workspace}: the disk is full: {cause(error)}") from error
            raise


@contextlib.contextmanager
def _surroundings(folder: str) -> Iterator[None]:
    """Give the build its own mounts, a mark for its programs, and a umask.

    :raises BuildError: there can be no mount namespace
    """
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(private_mounts())
        except OSError as error:
            raise BuildError(
                f"no mount namespace for the build: {error.strerror} "
                "(a container needs CAP_SYS_ADMIN, Docker: --privileged)"
            ) from error
        os.environ[leftovers.MARK] = folder
        stack.callback(os.environ.pop, leftovers.MARK, None)
        umask = os.umask(0o022)
        stack.callback(os.umask, umask)
        os.umask(umask | 0o022)  # no other user may write the folder of the run
        yield


@contextlib.contextmanager
def _noting_the_folder(record: Record) -> Iterator[None]:
    """Make the task that creates the folder of the run record it, so that it can be recognised."""
    from bootstrapvz.common.tasks.workspace import CreateWorkspace

    original = CreateWorkspace.run

    def run(cls: Any, info: Any) -> None:
        original(info)
        record.note_folder()

    CreateWorkspace.run = classmethod(run)
    try:
        yield
    finally:
        CreateWorkspace.run = original


def _pause(info: Any) -> None:
    """Wait for Enter; the mounts of the build are visible only in its namespace."""
    log.error("to inspect %s: nsenter --mount --target %d", info.workspace, os.getpid())
    with contextlib.suppress(EOFError):  # stdin is closed
        input("Press Enter to commence rollback")


def _kept(info: Any) -> str:
    """Return the line that names the image kept after a later failure."""
    state = getattr(info, "_bootstrapvz_sparse", {}).get("state")
    return f"\n{state.kept}" if state and state.kept else ""
