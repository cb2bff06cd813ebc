"""Make the pictures of the documentation: python3 docs/make_pictures.py [FOLDER].

The script makes a small disk as an installation leaves one, without root, inspects it, makes it
sparse and packs it. It writes into FOLDER (docs/_generated):

- inspect.svg, inspect.html: where the bytes are, by ``bvz-sparse inspect``
- report.svg: the space on disk after each stage, by ``bvz-sparse report``

It needs e2fsprogs, fdisk, util-linux, tar and gzip.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from bootstrapvz_sparse.cli import main  # noqa: E402
from bootstrapvz_sparse.image import sparsify  # noqa: E402
from bootstrapvz_sparse.image.extents import allocated  # noqa: E402
from bootstrapvz_sparse.image.tarball import write  # noqa: E402
from bootstrapvz_sparse.ledger.ledger import Ledger  # noqa: E402
from bootstrapvz_sparse.render.json import ledger_json  # noqa: E402
from bootstrapvz_sparse.util.programs import search_path  # noqa: E402

MIB = 1 << 20
DISK = 1024 * MIB  # Compute Engine imports whole GiB
TABLE = """
label: gpt
start=1MiB, size=1MiB, type=21686148-6449-6E6F-744E-656564454649
size=64MiB, type=L, name=boot
size=96MiB, type=S, name=swap
type=L, name=root
"""


def run(*command: str | Path, text: str | None = None) -> str:
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
    return done.stdout


def tree(folder: Path, amount: int) -> None:
    """Write incompressible files of ``amount`` bytes in all, the same ones each time."""
    numbers = random.Random(amount)
    while amount > 0:
        size = min(amount, numbers.randrange(4096, 2 * MIB))
        path = folder / f"{numbers.randrange(8)}" / f"{amount}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(numbers.randbytes(size))
        amount -= size


def filesystem(path: Path, kind: str, size: int, kept: int, deleted: int) -> None:
    """Make a filesystem with files, deleted files and a file of zeros."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        tree(Path(folder) / "srv", kept)
        (Path(folder) / "zeros").write_bytes(bytes(deleted // 4))
        for number in range(4):
            (Path(folder) / f"deleted-{number}").write_bytes(b"x" * (deleted // 4))
        path.write_bytes(b"")
        os.truncate(path, size)
        run("mke2fs", "-q", "-F", "-t", kind, "-d", folder, path)
    requests = "".join(f"rm /deleted-{number}\n" for number in range(4))
    run("debugfs", "-w", "-f", "-", path, text=requests)


def put(source: Path, disk: Path, start: int) -> None:
    """Copy a partition to its place; its holes stay holes."""
    place = f"seek={start}", "oflag=seek_bytes"
    run("dd", f"if={source}", f"of={disk}", "bs=1M", "conv=notrunc,sparse", "status=none", *place)
    source.unlink()


def disk(path: Path) -> int:
    """Make a partitioned disk with all kinds of bytes; return its peak in bytes."""
    run("sfdisk", "--quiet", path, text=TABLE)
    found = json.loads(run("sfdisk", "--json", path))["partitiontable"]["partitions"]
    starts = [512 * partition["start"] for partition in found]
    sizes = [512 * partition["size"] for partition in found]
    part = path.with_name("part")
    filesystem(part, "ext2", sizes[1], kept=24 * MIB, deleted=16 * MIB)
    put(part, path, starts[1])
    filesystem(part, "ext4", sizes[3], kept=280 * MIB, deleted=160 * MIB)
    put(part, path, starts[3])
    with path.open("r+b") as file:
        file.seek(starts[2])
        file.write(b"x" * sizes[2])  # used swap space
        file.seek(starts[3] + 650 * MIB)
        file.write(bytes(24 * MIB))
    swap = path.with_name("swap")
    swap.write_bytes(bytes(sizes[2]))
    swap.chmod(0o600)
    run("mkswap", swap)
    with path.open("r+b") as file:
        file.seek(starts[2])
        file.write(swap.read_bytes()[:4096])
        os.posix_fallocate(file.fileno(), starts[3] + 700 * MIB, 20 * MIB)
        os.fsync(file.fileno())
    swap.unlink()
    # written and discarded again, as removed packages are
    place, size = starts[3] + 780 * MIB, 60 * MIB
    with path.open("r+b") as file:
        file.seek(place)
        file.write(b"x" * size)
        os.fsync(file.fileno())
        peak = allocated(os.fstat(file.fileno()))
    run("fallocate", "--punch-hole", "--offset", str(place), "--length", str(size), path)
    return peak


def pictures(output: Path) -> int:
    """Make the pictures; return the exit code."""
    os.environ["PATH"] = search_path()
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output) as folder:
        image, packed = Path(folder) / "disk.raw", Path(folder) / "disk.tar.gz"
        image.write_bytes(b"")
        os.truncate(image, DISK)
        ledger = Ledger()
        ledger.measure("created", image)
        ledger.peak = disk(image)
        ledger.measure("built", image)
        ledger.limits["allocated"] = 400 * MIB
        os.chdir(folder)  # pages show the paths of the command line
        svg, html = output / "inspect.svg", output / "inspect.html"
        if main(["inspect", image.name, "--svg", str(svg), "--html", str(html)]):
            return 1
        ledger.verified = list(sparsify(image, verify=True).verified)
        ledger.measure("sparsified", image, method="punch")
        write(image, packed)
        ledger.measure("packed", packed)
        report = Path(folder) / "report.json"
        report.write_text(json.dumps(ledger_json(ledger, image=str(image))))
        return main(["report", str(report), "--svg", str(output / "report.svg")])


if __name__ == "__main__":
    sys.exit(pictures((Path(sys.argv[1]) if sys.argv[1:] else HERE / "_generated").absolute()))
