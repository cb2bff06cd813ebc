"""A machine in QEMU that writes to its disks: a kernel of Debian, and busybox as its only program.

Emulated, without KVM, so that it is the same everywhere.
"""

from __future__ import annotations

import contextlib
import gzip
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

QEMU, BUSYBOX = "qemu-system-x86_64", "busybox"
PATIENCE = 240  # seconds until it writes
MODULES = ("virtio_pci", "virtio_blk", "crc32c_generic", "ext4", "xfs", "btrfs")
INIT = """#!/bin/busybox sh
/bin/busybox mkdir -p /proc /dev /mnt
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t proc proc /proc
for module in $(/bin/busybox cat /modules/order); do /bin/busybox insmod /modules/$module; done
number=0
for disk in DISKS; do
    device=${disk%:*} kind=${disk#*:}
    /bin/busybox mkdir -p /mnt/$kind
    /bin/busybox mount -t $kind /dev/${device}1 /mnt/$kind || echo cannot mount $kind
    /bin/busybox swapon /dev/${device}2
done
echo ready
while :; do
    for folder in /mnt/*; do
        number=$(( (number * 75 + 74) % 65537 ))
        /bin/busybox dd if=/dev/urandom of=$folder/f$((number % 40)) bs=1024 \
            count=$((number % 300)) 2>/dev/null
        /bin/busybox rm -f $folder/f$(( (number / 7) % 40))
        [ $((number % 5)) = 0 ] && /bin/busybox sync
        echo -n .
    done
done
"""


def _kernels() -> list[Path]:
    found = sorted(Path("/boot").glob("vmlinuz-*"), key=lambda path: "cloud" not in path.name)
    return [path for path in found if Path("/lib/modules", _release(path)).is_dir()]


def _release(kernel: Path) -> str:
    return kernel.name.removeprefix("vmlinuz-")


def skip_reason() -> str:
    """Return what is missing for the machine, ``""`` if nothing is."""
    missing = [name for name in (QEMU, BUSYBOX, "modprobe") if not shutil.which(name)]
    if missing:
        return f"the machine: not installed: {', '.join(missing)}"
    return "" if _kernels() else "the machine: no kernel in /boot with its modules"


@contextlib.contextmanager
def running(folder: Path, disks: Mapping[str, Path]) -> Iterator[Callable[[], str]]:
    """Run the machine on the disks, by filesystem; yield a function that returns its console.

    :raises RuntimeError: it does not come up
    """
    kernel, initramfs, log = _kernels()[0], folder / "initramfs", folder / "console"
    initramfs.write_bytes(_initramfs(_release(kernel), disks))
    command = [QEMU, "-machine", "pc", "-accel", "tcg", "-m", "512", "-smp", "1"]
    command += ["-display", "none", "-monitor", "none", "-nic", "none", "-no-reboot"]
    command += ["-serial", f"file:{log}", "-kernel", str(kernel), "-initrd", str(initramfs)]
    command += ["-append", "console=ttyS0 quiet panic=-1"]
    for disk in disks.values():
        command += ["-drive", f"file={disk},format=raw,if=virtio,discard=ignore"]

    def console() -> str:
        return log.read_text(errors="replace") if log.exists() else ""

    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as machine:
        try:
            deadline = time.monotonic() + PATIENCE
            while "ready" not in console():
                if machine.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"the machine does not come up: {console()[-500:]}")
                time.sleep(0.2)
            yield console
        finally:
            machine.kill()


def _initramfs(release: str, disks: Mapping[str, Path]) -> bytes:
    letters = "abcdefgh"
    names = " ".join(f"vd{letters[number]}:{kind}" for number, kind in enumerate(disks))
    files = dict.fromkeys(("bin", "modules", "lib", "lib64"), (0o040755, b""))
    files["init"] = (0o100755, INIT.replace("DISKS", names).encode())
    busybox = shutil.which(BUSYBOX)
    assert busybox
    files["bin/busybox"] = (0o100755, Path(busybox).read_bytes())
    for library in _libraries(busybox):
        parents = library.lstrip("/").split("/")[:-1]
        for depth in range(len(parents)):
            files["/".join(parents[: depth + 1])] = (0o040755, b"")
        files[library.lstrip("/")] = (0o100755, Path(library).read_bytes())
    order = []
    for path in _modules(release):
        order.append(Path(path).name)
        files[f"modules/{order[-1]}"] = (0o100644, Path(path).read_bytes())
    files["modules/order"] = (0o100644, "\n".join(order).encode())
    return gzip.compress(_cpio(files), 1)


def _libraries(program: str) -> list[str]:
    done = subprocess.run(["ldd", program], capture_output=True, text=True)
    words = done.stdout.split()
    return list(dict.fromkeys(word for word in words if word.startswith("/")))


def _modules(release: str) -> list[str]:
    """Return the files of the modules, each after those that it depends on."""
    found: dict[str, None] = {}
    for name in MODULES:
        done = subprocess.run(
            ["modprobe", "--show-depends", "--set-version", release, name],
            capture_output=True,
            text=True,
        )
        for line in done.stdout.splitlines():
            if line.startswith("insmod "):
                found[line.split()[1]] = None
    return list(found)


def _cpio(files: Mapping[str, tuple[int, bytes]]) -> bytes:
    """Return an archive in "newc" format: cpio(5)."""
    parts = []
    for number, (name, (mode, content)) in enumerate([*files.items(), ("TRAILER!!!", (0, b""))]):
        fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
        parts.append(head + bytes(-len(head) % 4) + content + bytes(-len(content) % 4))
    return b"".join(parts)
