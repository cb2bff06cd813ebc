"""Ways to show pieces of a file as one file that another program can open."""

from __future__ import annotations

import os
import stat
import struct
from pathlib import Path

from .. import loop
from .fuse import serve
from .pieces import Pieces
from .process import Unavailable, end_with, start, status_of, system_call

CLONE_NEWNS, CLONE_NEWUSER = 0x00020000, 0x10000000  # linux/sched.h
FSOPEN, FSCONFIG, FSMOUNT = 430, 431, 432  # asm-generic/unistd.h
FSOPEN_CLOEXEC = FSMOUNT_CLOEXEC = 1  # linux/mount.h
FSCONFIG_SET_FLAG, FSCONFIG_SET_STRING, FSCONFIG_CMD_CREATE = 0, 1, 6
MOUNT_ATTRS = 1 | 2 | 4 | 8  # MOUNT_ATTR_RDONLY, _NOSUID, _NODEV, _NOEXEC


def by_namespace(pieces: Pieces, command: list[str], parent: int) -> int:
    """Mount the file in a user and mount namespace of this process, attached to no folder.

    It is reachable only through an open file, so no other process sees it and it leaves no trace.
    If namespaces are forbidden, root mounts without one. Needs Linux 5.2.

    :raises Unavailable: /dev/fuse is missing, or namespaces are forbidden
    """
    try:
        _enter_namespaces()
        end_with(parent)  # the kernel forgets it when credentials change
        device, mount = _mount()
    except OSError as error:
        raise Unavailable(f"{error.filename or 'mount'}: {error.strerror}") from error
    process, ended = start(command, f"/proc/self/fd/{mount}", keep=(mount,))
    serve(device, pieces, ended)
    os.close(device)
    return status_of(process)


def _enter_namespaces() -> None:
    user, group = os.getuid(), os.getgid()
    try:
        system_call("unshare", 0, CLONE_NEWUSER | CLONE_NEWNS)
    except OSError:
        if os.geteuid() == 0:
            return
        raise
    for name, text in (("setgroups", "deny"), ("uid_map", user), ("gid_map", group)):
        Path("/proc/self", name).write_text(text if isinstance(text, str) else f"0 {text} 1")


def _mount() -> tuple[int, int]:
    """Return an open /dev/fuse and a mount of it."""
    device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)  # in the namespace that mounts
    context = system_call("fsopen", FSOPEN, b"fuse", FSOPEN_CLOEXEC)
    options = {
        "source": "bvz-sparse",
        "fd": str(device),
        "rootmode": f"{stat.S_IFREG:o}",
        "user_id": str(os.getuid()),
        "group_id": str(os.getgid()),
    }

    def configure(command: int, key: str | None = None, value: str | None = None) -> None:
        texts = (None if text is None else text.encode() for text in (key, value))
        system_call("fsconfig", FSCONFIG, context, command, *texts, 0)

    for key, value in options.items():
        configure(FSCONFIG_SET_STRING, key, value)
    configure(FSCONFIG_SET_FLAG, "ro")
    configure(FSCONFIG_CMD_CREATE)
    mount = system_call("fsmount", FSMOUNT, context, FSMOUNT_CLOEXEC, MOUNT_ATTRS)
    os.close(context)
    return device, mount


def by_fusermount(pieces: Pieces, command: list[str], helper: str) -> int:
    """Mount the file in a new folder by fusermount3(1), whose path is ``helper``.

    :raises Unavailable: it cannot mount
    """
    import secrets  # slower to load than the rest of this module, and seldom needed
    import tempfile

    folder = os.path.join(tempfile.gettempdir(), f"bvz-sparse.{secrets.token_hex(8)}")
    path = os.path.join(folder, "filesystem")
    guard, held = _guard(helper, folder, path)
    try:
        os.mkdir(folder, 0o700)
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        device = _mount_by(helper, path)
        process, ended = start(command, path)
        serve(device, pieces, ended)
        os.close(device)
        return status_of(process)
    finally:
        os.close(held)
        os.waitpid(guard, 0)


def _guard(helper: str, folder: str, path: str) -> tuple[int, int]:
    """Start a process that unmounts ``path`` and deletes ``folder`` when this one has ended.

    fusermount3's own auto_unmount leaves mounts on regular files behind. The guard runs in its own
    session, which protects it from signals to our process group. Return it, and a pipe to be
    closed.
    """
    end, held = os.pipe()
    started, starting = os.pipe()
    guard = os.fork()
    if guard:
        os.close(end)
        os.close(starting)
        os.read(started, 1)  # nothing is created before the guard can remove it
        os.close(started)
        return guard, held
    try:
        os.setsid()
        nowhere = os.open(os.devnull, os.O_RDWR)
        for fd, source in ((0, end), (1, nowhere), (2, nowhere)):
            os.dup2(source, fd)
        os.closerange(3, max(map(int, os.listdir("/proc/self/fd"))) + 1)
        os.read(0, 1)
        if os.path.isdir(folder):  # path itself is "not connected" now
            if os.fork() == 0:
                os.execv(helper, [helper, "-u", "-q", "-z", "--", path])  # nosec B606
            os.wait()
            os.unlink(path)
        os.rmdir(folder)
    finally:
        os._exit(0)


def _mount_by(helper: str, path: str) -> int:
    """Run fusermount3 to mount on ``path``; return the open /dev/fuse that it sends."""
    import socket  # as above
    import subprocess

    ours, theirs = socket.socketpair()
    with ours, theirs:
        mounting = subprocess.run(
            [helper, "-o", "ro,nosuid,nodev,noexec,fsname=bvz-sparse", "--", path],
            env={**os.environ, "_FUSE_COMMFD": str(theirs.fileno())},
            pass_fds=[theirs.fileno()],
            stderr=subprocess.PIPE,
        )
        if mounting.returncode:
            lines = mounting.stderr.decode(errors="replace").strip().splitlines()
            raise Unavailable(lines[-1] if lines else f"exit status {mounting.returncode}")
        [(_, _, sent)] = ours.recvmsg(1, socket.CMSG_SPACE(4))[1]
    [device] = struct.unpack("i", sent[:4])
    os.set_inheritable(device, False)
    return int(device)


def by_loop_device(pieces: Pieces, command: list[str], name: str) -> int:
    """Attach the one piece to a read-only loop device that is detached when it is closed.

    ``name`` is the name of the file that the device reports (lo_file_name).

    :raises Unavailable: there are several pieces, or loop devices cannot be attached here
    """
    if len(pieces.pieces) != 1:
        raise Unavailable(f"a loop device cannot show {len(pieces.pieces)} pieces")
    [(start_byte, length)] = pieces.pieces
    try:
        device, path = loop.attach(pieces.image, start_byte, length, name, read_only=True)
    except OSError as error:
        raise Unavailable(f"{error.filename or 'loop device'}: {error.strerror}") from error
    try:
        return status_of(start(command, path)[0])
    finally:
        os.close(device)
        loop.wait_until_free(path)
