"""Loop devices of a file are found by device and inode, whatever its name."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bootstrapvz_sparse.image.access import opened
from bootstrapvz_sparse.util import loop
from bootstrapvz_sparse.util.errors import SparseError
from tests.support.mounting import attached, run
from tests.support.nobody import as_nobody

pytestmark = pytest.mark.loop

NAMES = (b"e\xff.raw", b"two\nlines", b"end\n", b"gone (deleted)", b"a b\\040c")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image"
    path.write_bytes(bytes(1 << 20))
    return path


def assert_refused(image: Path, device: str) -> None:
    with pytest.raises(SparseError, match=device), opened(image):
        pass


@pytest.mark.parametrize("name", NAMES)
def test_any_name(image: Path, name: bytes) -> None:
    other = Path(os.fsdecode(bytes(image.parent) + b"/" + name))
    other.write_bytes(bytes(1 << 20))
    with attached(other) as device:
        assert dict(loop.attached())[device] == str(other)
        assert loop.devices(other.stat()) == [device]
        assert loop.devices(image.stat()) == []
        with opened(image):
            pass


def test_ordinary_users_compare_paths() -> None:
    """They may not open the device."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        names = (b"image", b"image (deleted)", b"e\xff")
        paths = [Path(os.fsdecode(os.fsencode(folder) + b"/" + name)) for name in names]
        for path in paths:
            path.write_bytes(bytes(1 << 20))
            path.chmod(0o666)
        with attached(paths[0]) as first, attached(paths[1]) as second, attached(paths[2]):

            def look() -> None:
                assert loop.devices(paths[0].stat()) == [first]
                assert loop.devices(paths[1].stat()) == [second]
                assert_refused(paths[0], first)

            as_nobody(look)


def test_a_hard_link_that_is_deleted(image: Path) -> None:
    link = image.with_name("link")
    os.link(image, link)
    with attached(link) as device:
        link.unlink()
        assert dict(loop.attached())[device] == str(link)
        assert loop.devices(image.stat()) == [device]
        assert_refused(image, device)
        link.write_bytes(bytes(1 << 20))  # another file, of the name that it had
        assert dict(loop.attached())[device] == str(link)
        assert loop.devices(link.stat()) == []


def test_another_mount_namespace(image: Path, elsewhere: Callable[[str], Path]) -> None:
    """Attached by a path that leads nowhere here."""
    point = elsewhere(f"mount --bind {image.parent} /mnt && losetup --find --show /mnt/image")
    device = point.read_text().strip()
    try:
        assert dict(loop.attached())[device] != str(image)
        assert loop.devices(image.stat()) == [device]
        assert_refused(image, device)
    finally:
        run("losetup", "--detach", device)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Run shell commands in a mount namespace; their output is in the file returned."""

    def work(script: str) -> Path:
        output = tmp_path / "output"
        with output.open("w") as file:
            command = ["unshare", "--mount", "sh", "-ec", script]
            subprocess.run(command, check=True, stdout=file)
        return output

    yield work


def test_the_devices_of_our_checkers_do_not_count(image: Path) -> None:
    with image.open("rb") as file:
        device, path = loop.attach(file.fileno(), 512, 1 << 19, loop.name_of_ours(), read_only=True)
        try:
            assert Path(path).name in {Path(name).name for name, _ in loop.attached()}
            assert loop.devices(file.fileno()) == []
            assert os.lseek(device, 0, os.SEEK_END) == 1 << 19
            assert (
                subprocess.run(["blockdev", "--getro", path], capture_output=True).stdout == b"1\n"
            )
        finally:
            os.close(device)
        loop.wait_until_free(path)
        assert path not in dict(loop.attached())
        device, path = loop.attach(file.fileno(), 0, 1 << 20, "another's", read_only=True)
        assert loop.devices(file.fileno()) == [path]
        os.close(device)
        loop.wait_until_detached(file.fileno())
        assert loop.devices(file.fileno()) == []
