"""Every filesystem and container that a program of Debian makes in a file, without wiping it.

Each is a command line with the file last, or a command that writes a whole new file, the content
of which is copied to the beginning then.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

MIB = 1 << 20
PATIENCE = 60  # seconds
FOLDERS = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
# mkfs.xfs refuses small filesystems, except in its own tests
ENVIRONMENT = {
    **os.environ, "PATH": FOLDERS, "TEST_DIR": "x", "TEST_DEV": "x", "QA_CHECK_FS": "x",
}  # fmt: skip


class Maker(NamedTuple):
    """A program with options that keep it from wiping; ``least`` MiB are needed.

    ``folder``: it writes the files of a folder, which comes before the image.
    """

    command: str
    least: int = 1
    folder: bool = False


MAKERS = {
    "ext2": Maker("mke2fs -q -F -E nodiscard -t ext2"),
    "ext3": Maker("mke2fs -q -F -E nodiscard -t ext3", 4),
    "ext4": Maker("mke2fs -q -F -E nodiscard,lazy_itable_init=1 -t ext4", 4),
    "ext4, 4 KiB": Maker("mke2fs -q -F -E nodiscard -t ext4 -b 4096 -O ^resize_inode", 16),
    "jbd": Maker("mke2fs -q -F -E nodiscard -O journal_dev -b 4096", 8),
    "xfs": Maker("mkfs.xfs -q -K -f -d agcount=2", 32),
    "btrfs": Maker("mkfs.btrfs -q -K -f -M", 32),
    "f2fs": Maker("mkfs.f2fs -q -f -t 0", 60),
    "jfs": Maker("mkfs.jfs -q", 16),
    "reiserfs": Maker("mkfs.reiserfs -q -ff -s 513", 8),
    "reiser4": Maker("mkfs.reiser4 -y -f -f", 16),
    "nilfs2": Maker("mkfs.nilfs2 -q -f -K -B 16", 16),
    "gfs2": Maker("mkfs.gfs2 -q -O -K -p lock_nolock -J 8", 32),
    "ocfs2": Maker("mkfs.ocfs2 -q -F --fs-features=local -M local -b 4096 -C 4096 -N 1", 60),
    "udf": Maker("mkfs.udf --blocksize=2048"),
    "ntfs": Maker("mkntfs -q -F -Q -s 512 -p 0 -H 16 -S 63", 2),
    "minix": Maker("mkfs.minix"),
    "minix 3": Maker("mkfs.minix -3"),
    "bfs": Maker("mkfs.bfs"),
    "hfs": Maker("hformat -l torture"),
    "apfs": Maker("mkapfs", 16),
    "exfat": Maker("mkfs.exfat", 2),
    "vfat 12": Maker("mkfs.vfat -F 12 -s 64", 2),
    "vfat 16": Maker("mkfs.vfat -F 16", 16),
    "vfat 32": Maker("mkfs.vfat -F 32", 40),
    "swap": Maker("mkswap"),
    "luks 1": Maker(
        "cryptsetup -q luksFormat --type luks1 --pbkdf-force-iterations 1000 --key-file KEY", 4
    ),
    "luks 2": Maker(
        "cryptsetup -q luksFormat --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000"
        " --key-file KEY",
        20,
    ),
    "bcache backing": Maker("make-bcache -B"),
    "bcache cache": Maker("make-bcache -C", 60),
    "drbd": Maker("drbdmeta --force 0 v08 IMAGE internal create-md"),
    "cramfs": Maker("mkfs.cramfs", folder=True),
    "iso9660": Maker("genisoimage -quiet -o IMAGE", folder=True),
    "squashfs": Maker("mksquashfs FOLDER IMAGE -noappend -quiet", folder=True),
    "erofs": Maker("mkfs.erofs IMAGE", folder=True),
    "dos": Maker("sfdisk --quiet --wipe=never"),
    "gpt": Maker("sfdisk --quiet --wipe=never"),
}


class NotMade(Exception):
    """The text is the last line of the program."""


def missing(name: str) -> str:
    """Return the program that is not installed, ``""`` if it is."""
    program = MAKERS[name].command.split()[0]
    return "" if shutil.which(program, path=FOLDERS) else program


def make(name: str, image: Path, folder: Path) -> None:
    """Make it over what the image holds; ``folder`` is for other files.

    :raises NotMade: the program fails
    """
    maker = MAKERS[name]
    key, files, separate = folder / "key", folder / "files", folder / "separate"
    key.write_bytes(b"0123456789abcdef" * 2)
    files.mkdir(exist_ok=True)
    (files / "file").write_text("content\n")
    target = separate if maker.folder else image
    places = {"KEY": key, "FOLDER": files, "IMAGE": target}
    words = [str(places.get(word, word)) for word in maker.command.split()]
    if maker.folder and "FOLDER" not in maker.command:
        words.append(str(files))
    if "IMAGE" not in maker.command:
        words.append(str(target))
    try:
        done = subprocess.run(
            words,
            input=f"label: {name}\nstart=2048\n" if name in ("dos", "gpt") else "",
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=PATIENCE,
            env=ENVIRONMENT,
        )
    except subprocess.TimeoutExpired as error:
        raise NotMade(f"{name}: hangs") from error
    if done.returncode:
        text = (done.stderr or done.stdout).strip()
        raise NotMade(f"{name}: {text.splitlines()[-1] if text else done.returncode}")
    if maker.folder:
        with image.open("r+b") as file:
            file.write(separate.read_bytes())
        separate.unlink()
