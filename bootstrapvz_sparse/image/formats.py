"""Files that hold a disk, or other data, in a format other than raw.

Each format is recognised by its magic and refused with the command that converts it to raw.
"""

from __future__ import annotations

import os
import shlex
from typing import NamedTuple

from ..util.errors import InvalidImage
from .view import Map

HEAD = 512  # bytes that contain most magics
TRAILER = 512
SUFFIXES = {".gz", ".xz", ".zst", ".bz2", ".lz4", ".lzma", ".lz", ".lzo", ".Z"}


class Format(NamedTuple):
    """A format: ``magic`` at byte ``offset``, counted from the end if negative.

    ``remedy`` may contain ``{file}``, and ``{raw}`` for the name of the converted file.
    """

    magic: bytes
    name: str
    remedy: str = ""
    offset: int = 0


CONVERT = "convert it: qemu-img convert -O raw {file} {raw}"
UNPACK = "unpack it first"

# Sources: QEMU, block/*.c and docs/interop; "Virtual Disk Format 5.0" (vmdk); "Virtual Hard Disk
# Image Format Specification"; MS-VHDX 2.2.1; magic(5) of file(1); AOSP, libsparse, sparse_format.h
FORMATS = (
    Format(b"QFI\xfb", "qcow2 image", CONVERT),
    Format(b"QED\0", "qed image", CONVERT),
    Format(b"KDMV", "vmdk image", CONVERT),
    Format(b"COWD", "vmdk image", CONVERT),
    Format(b"# Disk DescriptorFile", "vmdk descriptor", CONVERT),
    Format(b"\x7f\x10\xda\xbe", "vdi image", CONVERT, 0x40),
    Format(b"vhdxfile", "vhdx image", CONVERT),
    Format(b"conectix", "dynamic vhd image", CONVERT),
    Format(b"WithoutFreeSpace", "Parallels image", CONVERT),
    Format(b"WithouFreSpacExt", "Parallels image", CONVERT),
    Format(b"Bochs Virtual HD Image", "Bochs image", CONVERT),
    Format(b"OOOM", "cow image", CONVERT),
    Format(b"koly", "dmg image", "convert it: qemu-img convert -f dmg -O raw {file} {raw}", -512),
    Format(b"\x3a\xff\x26\xed", "Android sparse image", "convert it: simg2img {file} {raw}"),
    Format(b"EVF\t\r\n\xff\0", "EnCase image", "unpack it: ewfexport -t {raw} {file}"),
    Format(b"\0ntfsclone-image", "ntfsclone image", "restore it: ntfsclone -r -O {raw} {file}"),
    Format(b"partclone-image", "partclone image", "restore it: partclone.restore"),
    Format(b"\x1f\x8b", "gzip file", "unpack it: gzip -cd {file} > {raw}"),
    Format(b"\xfd7zXZ\0", "xz file", "unpack it: xz -cd {file} > {raw}"),
    Format(b"\x28\xb5\x2f\xfd", "zstd file", "unpack it: zstd -d --sparse {file} -o {raw}"),
    Format(b"BZh", "bzip2 file", "unpack it: bzip2 -cd {file} > {raw}"),
    Format(b"\x04\x22\x4d\x18", "lz4 file", "unpack it: lz4 -d {file} {raw}"),
    Format(b"\x02\x21\x4c\x18", "lz4 file", "unpack it: lz4 -d {file} {raw}"),
    Format(b"LZIP", "lzip file", "unpack it: lzip -cd {file} > {raw}"),
    Format(b"\x89LZO\0\r\n\x1a\n", "lzop file", "unpack it: lzop -cd {file} > {raw}"),
    Format(b"\x5d\0\0", "lzma file", "unpack it: xz -cd {file} > {raw}"),
    Format(b"\x1f\x9d", "compress file", "unpack it: gzip -cd {file} > {raw}"),
    Format(b"7z\xbc\xaf\x27\x1c", "7z archive", "unpack it: 7z x {file}"),
    Format(b"PK\3\4", "zip archive", "unpack it: unzip {file}"),
    Format(b"Rar!\x1a\x07", "rar archive", UNPACK),
    Format(b"ustar", "tar archive", "unpack it: tar -x -S -f {file}", 257),
    Format(b"070701", "cpio archive", UNPACK),
    Format(b"!<arch>\n", "ar archive", UNPACK),
    Format(b"\xed\xab\xee\xdb", "rpm package", UNPACK),
    Format(b"MSWIM\0\0\0", "wim image", UNPACK),
    Format(b"xar!", "xar archive", UNPACK),
)
SKIPPABLE = range(0x184D2A50, 0x184D2A60)  # frames before those of zstd and lz4, as pzstd writes


def foreign_format(where: Map) -> Format | None:
    """Return the format of a file that is not a raw disk, None if its magic is unknown.

    A vhd of fixed size counts as a raw disk: it only adds a footer.

    :raises OSError: the image cannot be read
    """
    head = where.read(0, min(HEAD, where.size))
    trailer = where.read(max(where.size - TRAILER, 0), min(TRAILER, where.size))
    for format in FORMATS:
        raw = head[format.offset :] if format.offset >= 0 else trailer
        if raw.startswith(format.magic) and not _is_disk(head, format):
            return format
    if int.from_bytes(head[:4], "little") in SKIPPABLE:
        return Format(b"", "zstd file", "unpack it: zstd -d --sparse {file} -o {raw}")
    return None


def _is_disk(head: bytes, format: Format) -> bool:
    """Return True if a short magic may be boot code before a partition table."""
    return len(format.magic) < 4 and head[510:512] == b"\x55\xaa"


def reject_foreign_format(where: Map, path: str | os.PathLike[str]) -> None:
    """Refuse a file that is in a known format other than raw.

    :raises InvalidImage: the text names the format and the command that helps
    :raises OSError: the image cannot be read
    """
    format = foreign_format(where)
    if format is None:
        return
    file = os.fspath(path)
    stem, suffix = os.path.splitext(file)
    raw = stem if suffix in SUFFIXES else f"{stem}.raw"
    if raw == file:
        raw = f"{stem}-unpacked.raw"
    remedy = format.remedy.format(file=shlex.quote(file), raw=shlex.quote(raw))
    article = "an" if format.name.startswith(("xz", "lz", "rpm", *"AEaeiou")) else "a"
    raise InvalidImage(f"{file}: {article} {format.name}, not a raw disk ({remedy})")
