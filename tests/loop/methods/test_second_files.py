"""Methods that put a second file in place of the image."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from bootstrapvz_sparse.image import sparsify
from bootstrapvz_sparse.image.extents import allocated
from bootstrapvz_sparse.image.holes import probe
from bootstrapvz_sparse.util.errors import SparseError, Unsupported, VerificationFailed
from tests.support.methods import (
    IMAGE,
    MIB,
    SECOND,
    SIZE,
    content,
    make_whole,
)
from tests.support.mounting import bound, fill, mounted, run
from tests.support.nobody import as_nobody
from tests.support.used import assert_holds

pytestmark = pytest.mark.loop


@pytest.mark.parametrize("method", SECOND)
def test_what_a_second_file_takes_over(
    method: str, make: Callable[..., Path], used: tuple[Path, dict[str, bytes]], tmp_path: Path
) -> None:
    image = make("xfs", "ä" * 120)  # of 240 bytes, as a name of 255 has no room for more
    os.setxattr(image, "user.note", b"kept")
    os.setxattr(image, "trusted.note", b"kept")
    run("setfacl", "-m", "u:daemon:rw,g:nogroup:r", image)
    os.chown(image, 1234, 4321)
    os.chmod(image, 0o6754)
    os.utime(image, ns=(1_000_000_000_123_456_789, 1_100_000_000_987_654_321))
    before, acl = image.stat(), run("getfacl", "-p", image)
    sparsify(image, method=method, verify=True)
    after = image.stat()
    for field in ("st_mode", "st_uid", "st_gid", "st_size", "st_atime_ns", "st_mtime_ns"):
        assert getattr(after, field) == getattr(before, field), field
    assert after.st_ino != before.st_ino
    assert "daemon" in acl and run("getfacl", "-p", image) == acl
    assert os.getxattr(image, "user.note") == os.getxattr(image, "trusted.note") == b"kept"
    assert [each.name for each in image.parent.iterdir()] == [image.name]
    assert_holds(image, used[1], tmp_path)


def test_a_second_file_takes_over_no_more(make: Callable[..., Path]) -> None:
    """The folder gives every new file rights that the image does not have."""
    image = make("ext4")
    acl = run("getfacl", "-p", image)
    run("setfacl", "-d", "-m", "u:daemon:rw", image.parent)
    try:
        sparsify(image, method="copy")
    finally:
        run("setfacl", "-k", image.parent)
    assert run("getfacl", "-p", image) == acl


def test_a_filesystem_without_attributes(
    make: Callable[..., Path], folders: Callable[[str], Path], tmp_path: Path
) -> None:
    make("tmpfs")
    with bound(folders("tmpfs"), tmp_path / "bound", "--xattr-none") as folder:
        with pytest.raises(OSError, match="not supported"):
            os.listxattr(folder / "image")
        assert sparsify(folder / "image").method == "copy"


@pytest.mark.parametrize("method", ["copy", "qemu-img"])
def test_no_room_for_a_second_file(
    method: str, used: tuple[Path, dict[str, bytes]], tmp_path: Path
) -> None:
    with mounted("tmpfs", tmp_path, IMAGE + 4 * MIB) as folder:
        image = folder / "image"
        run("cp", "--sparse=never", used[0], image)
        before = content(image), image.stat().st_mtime_ns
        with pytest.raises(
            SparseError, match=rf"^{method}: a second file needs up to .* are free$"
        ):
            sparsify(image, method=method)
        assert (content(image), image.stat().st_mtime_ns) == before
        assert list(folder.iterdir()) == [image]
        with bound(folder, tmp_path / "bound") as other, pytest.raises(Unsupported, match="copy:"):
            sparsify(other / "image")
        assert (content(image), image.stat().st_mtime_ns) == before
        assert list(folder.iterdir()) == [image]


def test_room_is_for_what_is_allocated(used: tuple[Path, dict[str, bytes]], tmp_path: Path) -> None:
    """A build filesystem that reports no holes needs room for the allocated bytes only."""
    with mounted("tmpfs", tmp_path, IMAGE) as folder:
        image = folder / "image"
        run("cp", "--sparse=always", used[0], image)
        before = allocated(image.stat())
        assert before < IMAGE / 2
        with bound(folder, tmp_path / "bound") as other:
            assert sparsify(other / "image", reclaim="none").method == "copy"
        assert allocated(image.stat()) <= before


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "tmpfs"])
def test_a_full_filesystem(kind: str, used: tuple[Path, dict[str, bytes]], tmp_path: Path) -> None:
    """There is no room to try anything, and all the more need to."""
    with mounted(kind, tmp_path, SIZE) as folder:
        image = folder / "image"
        run("cp", "--sparse=never", "--reflink=never", used[0], image)
        os.sync()
        fill(folder, 4096)
        os.sync()
        with pytest.raises(OSError, match="No space"):
            probe(folder)
        report = sparsify(image, verify=True)
        assert report.method == "punch" and report.after < IMAGE / 2
        assert_holds(image, used[1], tmp_path)


def test_a_folder_of_another(open_folder: Path, used: tuple[Path, dict[str, bytes]]) -> None:
    image = open_folder / "image"
    run("cp", "--sparse=never", used[0], image)
    image.chmod(0o666)
    open_folder.chmod(0o755)

    def work() -> None:
        with pytest.raises(SparseError, match="copy: the image belongs to another user"):
            sparsify(image, method="copy")
        assert sparsify(image).method == "punch"

    as_nobody(work)
    assert allocated(image.stat()) < IMAGE / 2


@pytest.mark.parametrize("method", SECOND)
def test_hard_links(method: str, make: Callable[..., Path]) -> None:
    image = make("btrfs")
    before = content(image)
    os.link(image, image.with_name("other"))
    if method == "reflink":
        report = sparsify(image, method=method)
        assert report.method == "punch" and "2 hard links" in report.notes[0]
    else:
        with pytest.raises(SparseError, match="the image has 2 hard links"):
            sparsify(image, method=method)
        assert content(image) == before
    assert image.samefile(image.with_name("other"))


@pytest.mark.parametrize("method", SECOND)
def test_a_symbolic_link(method: str, make: Callable[..., Path], tmp_path: Path) -> None:
    image = make("xfs")
    link = tmp_path / "link"
    link.symlink_to(image)
    inode = image.stat().st_ino
    report = sparsify(link, method=method)
    assert link.is_symlink() and link.samefile(image)
    assert image.stat().st_ino != inode and not image.is_symlink()
    assert report.path == image and report.after == allocated(image.stat()) < IMAGE / 2
    assert any("is a symbolic link to" in note for note in report.notes)


def test_the_file_of_another(open_folder: Path, used: tuple[Path, dict[str, bytes]]) -> None:
    image = open_folder / "image"
    run("cp", "--sparse=never", used[0], image)
    image.chmod(0o666)

    def work() -> None:
        with pytest.raises(SparseError, match="the image belongs to another user"):
            sparsify(image, method="copy")
        assert sparsify(image).method == "punch"

    as_nobody(work)
    assert image.stat().st_uid == 0 and list(open_folder.iterdir()) == [image]


@pytest.mark.parametrize("method", SECOND)
@pytest.mark.parametrize(
    ("script", "error"),
    [
        ("echo first >&2; head -c 9999 $from >$to; echo the reason >&2; exit 1", "the reason"),
        ("head -c 9999 $from >$to", "size"),
        ("head -c 9999 $from >$to; echo the reason; kill -KILL $$", r"failed \(-9\): the reason"),
        ("cat $from >$to; printf x >>$to", "size"),
        ('cat $from >$to; rm "$(readlink $to)"', "replaced by another file"),
        ("cat $from >$to; printf x | dd of=$to bs=1 seek=1080 conv=notrunc", "in use has changed"),
    ],
)
def test_a_program_that_fails(
    method: str,
    script: str,
    error: str,
    make: Callable[..., Path],
    used: tuple[Path, dict[str, bytes]],
    fake: Callable[[str, str], Path],
    tmp_path: Path,
) -> None:
    fake("qemu-img" if method == "qemu-img" else "cp", script)
    image = make_whole(make, "btrfs")
    inode = image.stat().st_ino
    with pytest.raises((SparseError, VerificationFailed, OSError), match=error):
        sparsify(image, method=method, verify=True)
    assert list(image.parent.iterdir()) == [image]
    assert image.stat().st_ino == inode and image.stat().st_size == IMAGE
    assert_holds(image, used[1], tmp_path)


def test_a_wrong_size_without_verification(
    make: Callable[..., Path], fake: Callable[[str, str], Path]
) -> None:
    fake("cp", "head -c 9999 $from >$to")
    image = make_whole(make, "ext4")
    with pytest.raises(SparseError, match="the copy has 9999 bytes, expected"):
        sparsify(image, method="copy")
    assert image.stat().st_size == IMAGE


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ("echo another >IMAGE.new; mv IMAGE.new IMAGE", "replaced by another file"),
        ("rm IMAGE; echo another >IMAGE.new; ln -s IMAGE.new IMAGE", "replaced by another file"),
        ("rm IMAGE", "No such file"),
        ("printf x | dd of=IMAGE bs=1 seek=512 conv=notrunc", "another process wrote to the image"),
    ],
)
def test_an_image_that_others_change(
    script: str, error: str, make: Callable[..., Path], fake: Callable[[str, str], Path]
) -> None:
    image = make("ext4")
    fake("cp", f"$real --sparse=always $from $to; {script.replace('IMAGE', str(image))}")
    with pytest.raises((SparseError, OSError), match=error):
        sparsify(image, method="copy")
    beside = sorted(each.name for each in image.parent.iterdir() if each.name != "lost+found")
    if "another" in script:
        assert image.read_text() == "another\n"
    elif script.startswith("rm"):
        assert beside == []
    else:
        assert beside == ["image"] and image.read_bytes()[512:513] == b"x"
