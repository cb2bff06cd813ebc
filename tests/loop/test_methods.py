"""Every way to make an image sparse, by real programs on real build filesystems."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bootstrapvz_sparse.cli import main
from bootstrapvz_sparse.image import loop
from bootstrapvz_sparse.image.access import Refused
from bootstrapvz_sparse.image.extents import allocated, data, difference, total
from bootstrapvz_sparse.image.holes import NotSupported, probe
from bootstrapvz_sparse.image.methods import METHODS
from bootstrapvz_sparse.image.scan import Scan
from bootstrapvz_sparse.image.sparsify import sparsify
from bootstrapvz_sparse.image.survey import survey
from bootstrapvz_sparse.image.verify import Changed, Digest, compare
from tests.e2fsprogs import debugfs
from tests.loop.mounting import bound, fill, mounted, run
from tests.loop.used import ZEROS, assert_holds, make_used
from tests.nobody import as_nobody
from tests.unable import unable

pytestmark = pytest.mark.loop

MIB = 1 << 20
SIZE = 320 * MIB  # of a build filesystem; the least that mkfs.xfs takes is 300 MiB
IMAGE = 64 * MIB
EXTENTS = 64 * 1024  # a list of extents may take that, and differs from method to method

VIRT = ("virt-sparsify", "virt-sparsify-copy")
SECOND = ("copy", "reflink", "qemu-img")  # those that replace the image
OTHERS = [name for name in METHODS if name not in VIRT]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Path]]:
    """Build filesystems by kind, each mounted once for all tests of this file."""
    with contextlib.ExitStack() as stack:

        @functools.cache
        def folder(kind: str) -> Path:
            new = tmp_path_factory.mktemp(kind)
            if kind == "bindfs":
                return stack.enter_context(bound(folder("tmpfs"), new / "bound"))
            return stack.enter_context(mounted(kind, new, SIZE))

        yield folder


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    """A used ext4 filesystem, and the files in it: half of them were deleted, one is of zeros."""
    return make_used("ext4", tmp_path_factory.mktemp("used"), IMAGE)


@pytest.fixture
def make(
    used: tuple[Path, dict[str, bytes]], folders: Callable[[str], Path]
) -> Iterator[Callable[..., Path]]:
    """Makes copies of the used filesystem, all of their blocks allocated."""
    made = []

    def image(kind: str = "ext4", name: str = "image") -> Path:
        path = folders(kind) / name
        run("cp", "--sparse=never", "--reflink=never", used[0], path)
        run("sync", path)
        made.append(path)
        return path

    yield image
    for path in made:
        beside = [each for each in path.parent.iterdir() if each.name != "lost+found"]
        for each in beside:
            each.unlink()
        # whatever the test was about, no temporary file may be left
        assert not [each for each in beside if each.name.startswith(".")]


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Puts a shell script in the place of a program. Its ``$from`` and ``$to`` are the last two
    arguments, ``$all`` are all of them, one in a line, in the file of that name beside it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)

    def write(name: str, script: str) -> Path:
        program = folder / name
        program.write_text(
            "#!/bin/sh\n"
            f'printf "%s\\n" "$@" >{shlex.quote(str(program))}.arguments\n'
            f"for each; do from=$to to=$each; done\nreal={shutil.which(name)}\n{script}\n"
        )
        program.chmod(0o755)
        return program

    return write


def content(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while chunk := file.read(MIB):
            digest.update(chunk)
    return digest.hexdigest()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody may use; pytest's are root's alone."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o777)
        yield Path(name)


def other_method(name: str) -> dict[str, object]:
    command = ("fallocate", "--dig-holes") if name == "command" else ()
    return {"method": name, "command": command, "verify": True}


@pytest.fixture(scope="module")
def by_punching(
    used: tuple[Path, dict[str, bytes]], folders: Callable[[str], Path]
) -> Callable[[str], int]:
    """What is left of the used filesystem by the method punch, in bytes."""

    @functools.cache
    def left(kind: str) -> int:
        path = folders(kind) / "punched"
        run("cp", "--sparse=never", "--reflink=never", used[0], path)
        report = sparsify(path, method="punch")
        path.unlink()
        return report.after

    return left


# each method on each filesystem


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "tmpfs"])
@pytest.mark.parametrize("method", ["auto", *OTHERS])
def test_every_method(
    method: str,
    kind: str,
    make: Callable[..., Path],
    used: tuple[Path, dict[str, bytes]],
    by_punching: Callable[[str], int],
    tmp_path: Path,
) -> None:
    if method == "qemu-img" and not shutil.which("qemu-img"):
        unable("qemu-img is not there")
    image = make(kind)
    before = image.stat()
    report = sparsify(image, **other_method(method))  # type: ignore[arg-type]
    assert_holds(image, used[1], tmp_path)
    clones = kind in ("xfs", "btrfs")
    expected = "punch" if method == "auto" or (method == "reflink" and not clones) else method
    assert report.method == expected
    assert report.before == allocated(before) >= IMAGE
    assert report.after == allocated(image.stat())
    zeros = total(report.plan.zero)
    assert zeros >= ZEROS
    left = by_punching(kind) + (zeros if method == "none" else 0)
    assert abs(report.after - left) <= EXTENTS
    assert report.verified == (
        "the bytes in use are what they were",
        "the filesystem: ext4 checks clean",
    )
    assert (image.stat().st_ino != before.st_ino) == (expected in SECOND)
    if method == "reflink" and not clones:
        assert report.notes == ("reflink is not used: files cannot be cloned here",)
    else:
        assert report.notes == ()


def test_no_punching_is_copying(
    make: Callable[..., Path],
    used: tuple[Path, dict[str, bytes]],
    by_punching: Callable[[str], int],
    tmp_path: Path,
) -> None:
    image = make("bindfs")
    can = probe(image.parent)
    assert can.sparse and not can.punch and not can.report
    report = sparsify(image, verify=True)
    assert report.method == "copy"
    assert report.notes == ("copy is used: punch: holes cannot be punched into files here",)
    assert abs(report.after - by_punching("tmpfs")) <= EXTENTS
    assert_holds(image, used[1], tmp_path)
    # once more, now that it has holes of which the filesystem tells nothing
    assert sparsify(image, verify=True).after == report.after


@pytest.mark.parametrize("method", ["punch", "dig-holes", "none"])
def test_no_punching_is_refused_by_name(method: str, make: Callable[..., Path]) -> None:
    image = make("bindfs")
    before = content(image)
    with pytest.raises(Refused, match=f"^{method}: holes cannot be punched"):
        sparsify(image, method=method)
    assert content(image) == before


def test_free_blocks_are_zeros_to_others(
    make: Callable[..., Path], used: tuple[Path, dict[str, bytes]], tmp_path: Path
) -> None:
    """Where they cannot be punched they are written, for the program of whom we know nothing."""
    image = make("bindfs")
    with image.open("rb") as file:
        unneeded = survey(file.fileno(), IMAGE).unneeded
        assert total(unneeded) > 20 * MIB
        assert any(any(os.pread(file.fileno(), b - a, a)) for a, b in unneeded)
        sparsify(image, method="command", command=["true"], verify=True)
        assert not any(any(os.pread(file.fileno(), b - a, a)) for a, b in unneeded)
    assert_holds(image, used[1], tmp_path)


def test_no_holes_at_all(make: Callable[..., Path]) -> None:
    image = make("exfat")
    before = content(image), image.stat()
    with pytest.raises(NotSupported, match=r"^punch: .*; copy: files cannot have holes here$"):
        sparsify(image)
    for method in OTHERS:
        if method != "command":  # whose program may know better
            with pytest.raises((Refused, NotSupported), match="files cannot|holes cannot"):
                sparsify(image, method=method)
    assert (content(image), image.stat().st_mtime_ns) == (before[0], before[1].st_mtime_ns)
    assert list(image.parent.iterdir()) == [image]


def test_no_short_holes(make: Callable[..., Path]) -> None:
    image = make("ext4")
    least = 256 * 1024
    report = sparsify(image, method="punch", min_hole=least, verify=True)
    with image.open("rb") as file:
        filled = list(data(file.fileno(), IMAGE))
    ends = [0, *(end for _, end in filled)]
    starts = [*(start for start, _ in filled), IMAGE]
    holes = [start - end for end, start in zip(ends, starts) if start > end]
    assert len(holes) > 1 and min(holes) >= least
    assert report.after < report.before
    assert sparsify(image).after < report.after


# second files


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
        with pytest.raises(Refused, match=rf"^{method}: a second file needs up to .* are free$"):
            sparsify(image, method=method)
        assert (content(image), image.stat().st_mtime_ns) == before
        assert list(folder.iterdir()) == [image]
        with bound(folder, tmp_path / "bound") as other, pytest.raises(NotSupported, match="copy:"):
            sparsify(other / "image")
        assert (content(image), image.stat().st_mtime_ns) == before
        assert list(folder.iterdir()) == [image]


def test_room_is_for_what_is_allocated(used: tuple[Path, dict[str, bytes]], tmp_path: Path) -> None:
    """Where holes are not told the size of the image says nothing."""
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
        with pytest.raises(Refused, match="copy: a second file would have another owner"):
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
        with pytest.raises(Refused, match="the image has 2 hard links"):
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
        with pytest.raises(Refused, match="a second file would have another owner"):
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
        ('cat $from >$to; rm "$(readlink $to)"', "was replaced meanwhile"),
        ("cat $from >$to; printf x | dd of=$to bs=1 seek=1080 conv=notrunc", "in use changed"),
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
    with pytest.raises((Refused, Changed, OSError), match=error):
        sparsify(image, method=method, verify=True)
    assert list(image.parent.iterdir()) == [image]
    assert image.stat().st_ino == inode and image.stat().st_size == IMAGE
    assert_holds(image, used[1], tmp_path)


def make_whole(make: Callable[..., Path], kind: str) -> Path:
    """An image, made by the real cp whatever is in its place."""
    path = os.environ["PATH"]
    os.environ["PATH"] = path.partition(os.pathsep)[2]
    try:
        return make(kind)
    finally:
        os.environ["PATH"] = path


def test_a_wrong_size_without_verification(
    make: Callable[..., Path], fake: Callable[[str, str], Path]
) -> None:
    fake("cp", "head -c 9999 $from >$to")
    image = make_whole(make, "ext4")
    with pytest.raises(Refused, match="not of the same size"):
        sparsify(image, method="copy")
    assert image.stat().st_size == IMAGE


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ("echo another >IMAGE.new; mv IMAGE.new IMAGE", "was replaced meanwhile"),
        ("rm IMAGE; echo another >IMAGE.new; ln -s IMAGE.new IMAGE", "was replaced meanwhile"),
        ("rm IMAGE", "No such file"),
        ("printf x | dd of=IMAGE bs=1 seek=512 conv=notrunc", "was written to meanwhile"),
    ],
)
def test_an_image_that_others_change(
    script: str, error: str, make: Callable[..., Path], fake: Callable[[str, str], Path]
) -> None:
    image = make("ext4")
    fake("cp", f"$real --sparse=always $from $to; {script.replace('IMAGE', str(image))}")
    with pytest.raises((Refused, OSError), match=error):
        sparsify(image, method="copy")
    beside = sorted(each.name for each in image.parent.iterdir() if each.name != "lost+found")
    if "another" in script:
        assert image.read_text() == "another\n"
    elif script.startswith("rm"):
        assert beside == []
    else:
        assert beside == ["image"] and image.read_bytes()[512:513] == b"x"


# interruption


@pytest.mark.parametrize(
    ("number", "ignoring"),
    [
        (signal.SIGINT, False),
        (signal.SIGTERM, False),
        (signal.SIGHUP, False),
        (signal.SIGTERM, True),
    ],
)
def test_interrupted(
    number: signal.Signals,
    ignoring: bool,
    make: Callable[..., Path],
    used: tuple[Path, dict[str, bytes]],
    fake: Callable[[str, str], Path],
    tmp_path: Path,
) -> None:
    """The program has a child of its own, which may not stay either."""
    pids = tmp_path / "pids"
    fake(
        "cp",
        f"{'trap : TERM' if ignoring else ''}\nhead -c 9999 $from >$to\n"
        f"sleep 60 & echo $$ $! >{pids}.new; mv {pids}.new {pids}\n"
        "while :; do wait; sleep 60; done",
    )
    image = make_whole(make, "ext4")
    inode = image.stat().st_ino
    command = [
        sys.executable,
        "-c",
        PATIENT if ignoring else "from bootstrapvz_sparse.cli import *",
    ]
    command[2] += "; sys.exit(main())"
    with subprocess.Popen(
        [*command, "sparsify", "--method", "copy", image],
        stderr=subprocess.PIPE,
        text=True,
        # a shell lets what it runs in the background ignore it, and so may have let us
        preexec_fn=functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    ) as process:
        wait_for(pids.exists)
        assert [each.name for each in image.parent.iterdir() if each.name.startswith(".image.")]
        process.send_signal(number)
        said = process.communicate(timeout=30)[1]
    assert process.returncode == 1
    assert said.splitlines()[-1] == "bvz-sparse: error: interrupted"
    assert {each.name for each in image.parent.iterdir()} <= {"image", "lost+found"}
    assert image.stat().st_ino == inode
    assert_holds(image, used[1], tmp_path)
    for pid in pids.read_text().split():
        wait_for(functools.partial(gone, pid))


PATIENT = (
    "from bootstrapvz_sparse.image import programs; programs.TIME_TO_END = 0.5; "
    "from bootstrapvz_sparse.cli import *"
)


def gone(pid: str) -> bool:
    """Whether no process of that number runs, but for one that nobody has asked for its end."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# programs of the user


def test_what_a_command_gets(
    make: Callable[..., Path], fake: Callable[[str, str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    program = fake("sparser", 'fallocate --dig-holes "$to"')
    image = make("ext4", "a b;touch c $(touch d) `touch e`\n*")
    status = main(
        ["sparsify", "--method", "command", "--command", "sparser -x 'two words' $HOME", str(image)]
    )
    assert status == 0, capsys.readouterr().err
    arguments = program.with_name("sparser.arguments").read_text()
    assert arguments == f"-x\ntwo words\n$HOME\n{image}\n"
    assert {each.name for each in image.parent.iterdir()} == {image.name, "lost+found"}
    assert allocated(image.stat()) < IMAGE / 2


@pytest.mark.parametrize(
    ("command", "error"),
    [
        ("sh -c 'echo first >&2; echo no >&2; exit 7' sh", r"sh failed \(7\): no$"),
        ("sh -c 'echo only here; exit 7' sh", r"sh failed \(7\): only here$"),
        ("false", r"false failed \(1\): it does not say why$"),
        ("not-there -x", "command: not-there is not installed$"),
        ("/etc/passwd", "command: /etc/passwd is not installed$"),
        ("", "command: no command is named$"),
    ],
)
def test_a_command_that_fails(
    command: str,
    error: str,
    make: Callable[..., Path],
    used: tuple[Path, dict[str, bytes]],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    image = make("ext4")
    assert main(["sparsify", "--method", "command", "--command", command, str(image)]) == 1
    said = capsys.readouterr().err
    assert re.search(rf"^bvz-sparse: error: {re.escape(str(image))}: {error}", said, re.M), said
    assert_holds(image, used[1], tmp_path)


# verification

DAMAGE = {
    "a byte in use changed": "printf x | dd bs=1 seek=1080 conv=notrunc of=",
    "its size was 67108864 bytes and is 67108865": "truncate --size +1 ",
    "its size was 67108864 bytes and is 67108863": "truncate --size -1 ",
    "a hole is no hole any more": "printf x | dd bs=1 seek=HOLE conv=notrunc of=",
}


@pytest.mark.parametrize("error", DAMAGE)
def test_damage_is_found(
    error: str, make: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """By a command that does it, told by its image."""
    image = make("ext4")
    sparsify(image)
    with image.open("rb") as file:
        found = survey(file.fileno(), IMAGE)
        filled = list(data(file.fileno(), IMAGE))
    holes = difference([(0, IMAGE)], [*filled])
    in_use = difference(holes, found.unneeded)  # where the file of zeros was
    script = DAMAGE[error].replace("HOLE", str(in_use[-1][0] + 4097)) + '"$1"'
    command = shlex.join(["sh", "-c", script, "sh"])
    arguments = ["sparsify", "--method", "command", "--command", command, "--verify", str(image)]
    assert main(arguments) == 1
    assert capsys.readouterr().err == f"bvz-sparse: error: {image}: {error}\n"


def test_what_may_change_is_no_damage(make: Callable[..., Path]) -> None:
    """Zeros that are written where a hole was, and anything in blocks that nobody needs."""
    image = make("ext4")
    sparsify(image)
    with image.open("rb") as file:
        free = survey(file.fileno(), IMAGE).unneeded[-1][0]
        script = 'cat "$1" | tee "$1.new" >/dev/null; dd if="$1.new" of="$1" bs=1M; '
        script += f'rm "$1.new"; printf x | dd of="$1" bs=1 seek={free} conv=notrunc'
        sparsify(image, method="command", command=["sh", "-c", script, "sh"], verify=True)
        assert os.pread(file.fileno(), 1, free) == b"x"
    assert allocated(image.stat()) >= IMAGE


def test_the_checker_is_asked(make: Callable[..., Path]) -> None:
    """What was called free and is not would not be found by comparing."""
    image = make("ext4")
    debugfs(image, "freeb 3000 1")
    with image.open("rb") as file:
        found = survey(file.fileno(), IMAGE)
        scan = Scan(found, digest=Digest())
        scan(file.fileno())
        assert scan.digest
        compare(file.fileno(), found, scan.digest)
    debugfs(image, "setb 3000 1")
    script = 'debugfs -w -R "clri <13>" "$1"'
    with pytest.raises(Changed):
        sparsify(image, method="command", command=["sh", "-c", script, "sh"], verify=True)


# free blocks that only the kernel finds


@pytest.fixture(scope="module")
def used_btrfs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("used-btrfs")
    with mounted("btrfs", folder, 192 * MIB) as inside:
        for name in ("kept", "gone"):
            (inside / name).write_bytes(random.Random(name).randbytes(24 * MIB))
        os.sync()
        (inside / "gone").unlink()
    return folder / "image-btrfs"


def btrfs_in(folder: Path, used_btrfs: Path) -> Path:
    image = folder / "image"
    run("cp", "--sparse=never", used_btrfs, image)
    image.chmod(0o666)
    return image


def test_btrfs_is_discarded(
    folders: Callable[[str], Path], used_btrfs: Path, tmp_path: Path
) -> None:
    image = btrfs_in(folders("ext4"), used_btrfs)
    try:
        alone = sparsify(image, reclaim="metadata")
        assert any("free blocks left alone" in note for note in alone.notes), alone.notes
        assert alone.after > 48 * MIB
        report = sparsify(image, verify=True)
        assert report.notes == ()
        assert report.after < alone.after - 20 * MIB
        assert report.verified[-1] == "the filesystem: btrfs checks clean"
        assert loop.devices(image) == []
        assert str(image) not in Path("/proc/self/mounts").read_text()
        point = tmp_path / "point"
        point.mkdir()
        run("mount", "-o", "loop,ro", image, point)
        try:
            assert [each.name for each in point.iterdir()] == ["kept"]
            assert (point / "kept").read_bytes() == random.Random("kept").randbytes(24 * MIB)
        finally:
            run("umount", point)
    finally:
        image.unlink()


def test_btrfs_where_nothing_can_be_punched(used_btrfs: Path, tmp_path: Path) -> None:
    """Mounting it would change it to no purpose."""
    plain = tmp_path / "plain"
    plain.mkdir()
    with bound(plain, tmp_path / "bound") as folder:
        image = btrfs_in(folder, used_btrfs)
        before = content(image)
        report = sparsify(image, verify=True)
        assert report.method == "copy"
        assert any("left alone: holes cannot be punched" in note for note in report.notes)
        assert content(image) == before


def test_a_broken_btrfs_is_left_alone(folders: Callable[[str], Path], used_btrfs: Path) -> None:
    image = btrfs_in(folders("ext4"), used_btrfs)
    try:
        tree = re.search(
            r"^leaf (\d+)", run("btrfs", "inspect-internal", "dump-tree", "-t", "csum", image), re.M
        )
        assert tree
        with image.open("r+b") as file:
            for place in re.findall(
                r"physical (\d+)", run("btrfs-map-logical", "-l", tree[1], image)
            ):
                file.seek(int(place))
                file.write(b"broken")
        before = content(image)
        report = sparsify(image, verify=True)
        assert content(image) == before
        assert report.verified == ("the bytes in use are what they were",)
        assert any("left alone" in note for note in report.notes)
    finally:
        image.unlink()


def test_btrfs_of_an_ordinary_user(open_folder: Path, used_btrfs: Path) -> None:
    image = btrfs_in(open_folder, used_btrfs)

    def work() -> None:
        report = sparsify(image)
        assert [note for note in report.notes if "needs root" in note], report.notes
        assert 48 * MIB < report.after < 192 * MIB

    as_nobody(work)


def test_ext4_is_discarded(
    make: Callable[..., Path], used: tuple[Path, dict[str, bytes]], tmp_path: Path
) -> None:
    image = make("ext4")
    report = sparsify(image, reclaim="discard", verify=True)
    assert report.notes == () and report.after < IMAGE / 2
    assert loop.devices(image) == []
    assert_holds(image, used[1], tmp_path)


def test_a_dirty_ext4_is_not_discarded(make: Callable[..., Path]) -> None:
    image = make("ext4")
    debugfs(image, "ssv state 0")
    before = content(image)
    for reclaim in ("auto", "discard"):
        report = sparsify(image, reclaim=reclaim)
        assert any("not cleanly unmounted" in note for note in report.notes)
        assert content(image) == before


# virt-sparsify


@pytest.fixture
def virt_sparsify(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real one, which no test machine is made to install: it brings 300 MB along."""
    if not shutil.which("virt-sparsify"):
        pytest.skip("virt-sparsify is not there")
    monkeypatch.setenv("LIBGUESTFS_BACKEND", "direct")  # no libvirt
    monkeypatch.setenv("LIBGUESTFS_BACKEND_SETTINGS", "force_tcg")  # runs anywhere


@pytest.mark.usefixtures("virt_sparsify")
@pytest.mark.parametrize("method", VIRT)
def test_virt_sparsify(
    method: str,
    make: Callable[..., Path],
    used: tuple[Path, dict[str, bytes]],
    by_punching: Callable[[str], int],
    tmp_path: Path,
) -> None:
    image = make("ext4")
    report = sparsify(image, method=method, verify=True)
    assert "bytes in use were not compared" in report.notes[0]
    assert report.verified == ("the filesystem: ext4 checks clean",)
    more = 0 if method == "virt-sparsify-copy" else ZEROS
    # it frees no journal
    assert report.after <= by_punching("ext4") + more + 5 * MIB
    assert_holds(image, used[1], tmp_path)


def test_what_virt_sparsify_gets(
    make: Callable[..., Path], fake: Callable[[str, str], Path]
) -> None:
    program = fake("virt-sparsify", 'case "$*" in *--in-place*) exit;; esac; cp "$from" "$to"')
    got = program.with_name("virt-sparsify.arguments")
    image = make("ext4", "an image")
    sparsify(image, method="virt-sparsify")
    assert got.read_text().splitlines() == ["--quiet", "--in-place", "--format", "raw", str(image)]
    sparsify(image, method="virt-sparsify-copy")
    *options, space, source, copy = got.read_text().splitlines()
    assert options == [
        *("--quiet", "--format", "raw", "--convert", "raw"),
        *("--check-tmpdir", "fail", "--tmp"),
    ]
    assert source == str(image)
    assert Path(space).parent == image.parent and not Path(space).exists()
    assert Path(copy).parent == Path(f"/proc/{os.getpid()}/fd")


def test_virt_sparsify_is_not_there(
    make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    image = make("ext4")
    for program in ("cp", "blkid"):
        (tmp_path / program).symlink_to(shutil.which(program) or "")
    monkeypatch.setenv("PATH", str(tmp_path))
    for method in VIRT:
        with pytest.raises(Refused, match=r"virt-sparsify \(package guestfs-tools\) is not inst"):
            sparsify(image, method=method)
    monkeypatch.undo()


def test_virt_sparsify_has_room(
    used: tuple[Path, dict[str, bytes]], fake: Callable[[str, str], Path], tmp_path: Path
) -> None:
    """It may write to all that is free before it copies."""
    fake("virt-sparsify", "exit 1")
    with mounted("tmpfs", tmp_path, IMAGE) as folder:
        run("cp", "--sparse=always", used[0], folder / "image")
        with pytest.raises(Refused, match="a second file needs up to 64.0 MiB"):
            sparsify(folder / "image", method="virt-sparsify-copy")
        assert list(folder.iterdir()) == [folder / "image"]
