"""Boot a raw image in QEMU and wait for its login prompt.

    python3 tests/build/boot.py IMAGE

The image is not written to. Emulated, without KVM: the same on every machine, only slower.
Standard library only.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from pathlib import Path

PROMPT = b"login:"
FAILURES = (b"Kernel panic", b"grub rescue>", b"(initramfs)", b"You are in emergency mode")


class BootFailed(Exception):
    """The text is the end of what the machine said on its serial console."""


def boot(
    image: Path,
    *options: str,
    expect: bytes = PROMPT,
    timeout: float = 400,
    echo: bool = False,
) -> tuple[float, str]:
    """Boot ``image``; return the seconds until ``expect`` is on the console, and its text.

    ``options`` are QEMU's.

    :raises BootFailed: not within ``timeout`` seconds, or a boot that went wrong before
    """
    # One processor: while Linux patches its own code an emulated second one runs it half-patched
    # now and then, and the kernel dies of an int3.
    command = ["qemu-system-x86_64", "-machine", "pc", "-accel", "tcg"]
    command += ["-m", "1024", "-smp", "1", "-display", "none", "-serial", "stdio", "-monitor"]
    command += ["none", "-nic", "user,model=virtio-net-pci,restrict=on", "-no-reboot", "-drive"]
    command += [f"file={image},format=raw,if=virtio,snapshot=on", *options]
    began = time.monotonic()
    console = b""
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as machine:
        assert machine.stdout is not None
        try:
            while time.monotonic() - began < timeout:
                if not select.select([machine.stdout], [], [], 1)[0]:
                    continue
                chunk = os.read(machine.stdout.fileno(), 65536)
                if echo:
                    sys.stdout.buffer.write(chunk)
                    sys.stdout.flush()
                console += chunk
                if expect in console:
                    return time.monotonic() - began, console.decode(errors="replace")
                if not chunk or any(failure in console for failure in FAILURES):
                    break
        finally:
            machine.kill()
    raise BootFailed(console[-2000:].decode(errors="replace"))


def main() -> int:
    try:
        seconds, _ = boot(Path(sys.argv[1]), echo=True)
    except BootFailed:
        print("\nno login prompt", file=sys.stderr)
        return 1
    print(f"\nlogin prompt after {seconds:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
