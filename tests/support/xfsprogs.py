"""XFS made, filled, changed and asked without mounting it, which needs no root."""

from __future__ import annotations

import os
import random
import re
import subprocess
from pathlib import Path

from bootstrapvz_sparse.image.extents import Ranges, total, union

# mkfs.xfs refuses small file systems, but not to the tests of XFS themselves
ENVIRONMENT = {**os.environ, "TEST_DIR": "x", "TEST_DEV": "x", "QA_CHECK_FS": "x"}


def xfs_db(path: Path, *commands: str, write: bool = False) -> str:
    """Run xfs_db(8) commands on the image at ``path``; what it says."""
    done = subprocess.run(
        ["xfs_db", "-x" if write else "-r", path],
        input="".join(f"{command}\n" for command in commands),
        text=True,
        capture_output=True,
        check=True,
    )
    assert write or not done.stderr, done.stderr
    return done.stdout.replace("xfs_db> ", "")


def numbers(path: Path, *commands: str) -> dict[str, int]:
    """The numbers that xfs_db(8) commands print, by name; of a name printed twice the last."""
    found = re.findall(r"^(\w+) = (\w+)$", xfs_db(path, *commands), re.M)
    return {name: int(value, 0) for name, value in found if value != "null"}


def mkfs(path: Path, options: list[str], size: int, proto: str | None = None) -> None:
    with path.open("wb") as file:
        file.truncate(size)
    command = ["mkfs.xfs", "-q", *options]
    if proto is not None:
        (path.parent / "proto").write_text(proto)
        command += ["-p", "proto"]  # no path: xfsprogs 6.13 takes a comma in it for another option
    subprocess.run(
        [*command, path.name], check=True, env=ENVIRONMENT, capture_output=True, cwd=path.parent
    )


def make(path: Path, options: list[str], size: int = 64 << 20, files: int = 300) -> None:
    """A file system with ``files`` files, of which every second is gone again."""
    chance = random.Random(size + files)
    sources = [path.parent / f"source{i}" for i in range(8)]
    for source in sources:
        source.write_bytes(chance.randbytes(chance.randrange(1, 12_000_000 // files)))
    lines = ["/nothing", "0 0", "d--755 0 0", "d d--755 0 0"]
    lines += [f"f{i} ---644 0 0 {chance.choice(sources)}" for i in range(files)]
    mkfs(path, options, size, "\n".join([*lines, "$", "$", ""]))
    # a file whose inode has no type any more is one that xfs_repair removes
    inodes = re.findall(r"^\d+\s+(\d+)\s+regular", xfs_db(path, "ls /d"), re.M)
    assert len(inodes) == files
    clear = [f"inode {inode}\nwrite -d core.mode 0" for inode in inodes[::2]]
    xfs_db(path, *clear, write=True)
    subprocess.run(
        ["xfs_repair", "-o", "force_geometry", "-f", path], check=True, capture_output=True
    )
    assert clean(path)


def levels(path: Path) -> dict[int, int]:
    """Return the levels of the free-space tree by place of each group."""
    groups = range(numbers(path, "sb 0", "p agcount")["agcount"])
    return {group: numbers(path, f"agf {group}", "p bnolevel")["bnolevel"] for group in groups}


def clean(path: Path) -> bool:
    """Return whether xfs_repair finds no error and the log is clean."""
    done = subprocess.run(
        ["xfs_repair", "-n", "-o", "force_geometry", "-f", path], capture_output=True
    )
    return done.returncode == 0 and log_is_clean(path)


def log_is_clean(path: Path) -> bool:
    done = subprocess.run(["xfs_logprint", "-t", path], capture_output=True, text=True)
    return done.returncode == 0 and "state: <CLEAN>" in done.stdout


def log_place(path: Path) -> tuple[int, int]:
    """Start and length of the log, in bytes."""
    sb = numbers(path, "sb 0", "p blocksize logstart logblocks agblocks agblklog")
    group, block = sb["logstart"] >> sb["agblklog"], sb["logstart"] & (1 << sb["agblklog"]) - 1
    return (
        (group * sb["agblocks"] + block) * sb["blocksize"],
        sb["logblocks"] * sb["blocksize"],
    )


def free_ranges(path: Path) -> Ranges:
    """Free byte ranges as xfs_db lists them, without the blocks of the AGFL, which it adds."""
    sb = numbers(path, "sb 0", "p blocksize agblocks agcount fdblocks")
    counted, ranges, spare = 0, [], []
    for group in range(sb["agcount"]):
        agf = numbers(path, f"agf {group}", "p flfirst flcount btreeblks")
        text = xfs_db(path, f"agfl {group}", "p bno")
        ring = [value for _, value in re.findall(r"(\d+):(\d+|null)", text)]
        first = group * sb["agblocks"]
        listed = re.findall(
            r"^\s*\d+\s+(\d+)\s+(\d+)$", xfs_db(path, f"freesp -d -a {group}"), re.M
        )
        ranges += [(first + int(at), first + int(at) + int(length)) for at, length in listed]
        for i in range(agf["flfirst"], agf["flfirst"] + agf["flcount"]):
            spare.append(first + int(ring[i % len(ring)]))
        counted += agf["btreeblks"]
    if "LAZYSBCOUNT" in xfs_db(path, "version"):
        assert counted + total(ranges) == sb["fdblocks"]
    for block in spare:
        ranges.remove((block, block + 1))
    return union((a * sb["blocksize"], b * sb["blocksize"]) for a, b in ranges)
