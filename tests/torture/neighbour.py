"""The neighbour: a process of nobody, who owns the folder, and what it does to names in it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import traceback
from collections.abc import Callable
from pathlib import Path

from tests.support.nobody import NOBODY

RENAME_EXCHANGE = 2  # linux/fs.h
AT_FDCWD = -100
IMAGE, KEPT = "disk.raw", ".kept"

_libc = ctypes.CDLL(None, use_errno=True)


class Swapper:
    """Swaps names in the folder ``place``; ``victims`` is a folder of root's.

    In ``place`` are ``own``, a file of nobody's, and ``theirs.raw`` and ``theirs``, a file and a
    folder of root's, which only their owner may change but the folder's owner may rename.
    """

    def __init__(self, place: Path, victims: Path) -> None:
        self.place, self.victims = place, victims
        self.undo: list[Callable[[], object]] = []

    def swap(self, action: str, target: str) -> None:
        """Do ``action`` with the name ``target``; ``temporary`` and ``folder`` are special.

        :raises OSError: it is not possible
        """
        path = self._find(target)
        if path is None:
            raise FileNotFoundError(target)
        kept = path.with_name(f"{path.name}{KEPT}")
        if action == "exchange":
            other = self._find("temporary")
            if other is None or other == path:
                raise FileNotFoundError("temporary")
            self._exchange(path, other)
            self.undo.append(lambda: self._exchange(path, other))
            return
        if action == "link to it":  # the neighbour's link to the file itself
            os.rename(path, kept)
            self.undo.append(lambda: os.rename(kept, path))
            os.symlink(kept, path)
            self.undo.append(lambda: os.unlink(path))
            return
        os.rename(path, kept)
        self.undo.append(lambda: os.rename(kept, path))
        self._put(action, path)

    def _put(self, action: str, path: Path) -> None:
        """Put something else in the place of ``path``."""
        if action == "gone":
            return
        if action in ("own", "theirs.raw", "theirs"):
            source = self.place / action
            if path == self.place:
                source = path.with_name(f"{path.name}{KEPT}") / action
            os.rename(source, path)
            self.undo.append(lambda: os.rename(path, source))
            return
        if action == "link":
            os.symlink(self.victims / self._victim(path), path)
        elif action == "link to folder":
            os.symlink(self.victims, path)
        elif action == "hard link":
            os.link(self.victims / self._victim(path), path)
        elif action == "fifo":
            os.mkfifo(path, 0o666)
        elif action == "folder":
            path.mkdir()
        self.undo.append(lambda: path.rmdir() if action == "folder" else os.unlink(path))

    def _victim(self, path: Path) -> str:
        """Return the name in ``victims`` that a link leads to: a folder for the folder."""
        return "" if path == self.place else "disk.raw"

    def _find(self, target: str) -> Path | None:
        if target == "folder":
            return self.place
        if target == "temporary":
            names = [name for name in os.listdir(self.place) if name.endswith(".bvz-sparse")]
            if names:
                return self.place / sorted(names)[0]
            target = IMAGE  # there is none yet, or no more
        path = self.place / target
        return path if os.path.lexists(path) else None

    def _exchange(self, first: Path, second: Path) -> None:
        names = (AT_FDCWD, bytes(first), AT_FDCWD, bytes(second), RENAME_EXCHANGE)
        if _libc.renameat2(*names) != 0:
            raise OSError(ctypes.get_errno(), "renameat2")

    def back(self) -> None:
        """Undo it all, as far as that is possible."""
        while self.undo:
            with contextlib.suppress(OSError):
                self.undo.pop()()


class Neighbour:
    """The process of a :class:`Swapper`, which does one thing after another as it is asked."""

    def __init__(self, place: Path, victims: Path) -> None:
        ask, self._ask = os.pipe()
        self._answers, answer = os.pipe()
        self._process = os.fork()
        if self._process == 0:
            try:
                os.close(self._ask)
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
                self._serve(Swapper(place, victims), ask, answer)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(0)
        os.close(ask)
        os.close(answer)

    @staticmethod
    def _serve(swapper: Swapper, ask: int, answer: int) -> None:
        while request := os.read(ask, 4096).decode():
            action, target = request.split("\n")
            try:
                if action == "back":
                    swapper.back()
                else:
                    swapper.swap(action, target)
                os.write(answer, b"+")
            except OSError:
                os.write(answer, b"-")

    def does(self, action: str, target: str = "") -> bool:
        """Let it do ``action``; return whether it could."""
        os.write(self._ask, f"{action}\n{target}".encode())
        return os.read(self._answers, 1) == b"+"

    def close(self) -> None:
        """End it."""
        os.close(self._ask)
        os.close(self._answers)
        os.waitpid(self._process, 0)
