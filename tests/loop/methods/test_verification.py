"""Verification finds changed bytes and damaged filesystems."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from bootstrapvz_sparse.cli import main
from bootstrapvz_sparse.image import sparsify
from bootstrapvz_sparse.image.extents import allocated, data, difference
from bootstrapvz_sparse.image.survey import survey
from bootstrapvz_sparse.util.errors import VerificationFailed
from tests.support.e2fsprogs import debugfs
from tests.support.methods import (
    IMAGE,
)

pytestmark = pytest.mark.loop


DAMAGE = {
    "a byte in use has changed": "printf x | dd bs=1 seek=1080 conv=notrunc of=",
    "the size was 67108864 bytes and is now 67108865": "truncate --size +1 ",
    "the size was 67108864 bytes and is now 67108863": "truncate --size -1 ",
    "a byte in use has changed: it was in a hole": (
        "printf x | dd bs=1 seek=HOLE conv=notrunc of="
    ),
}


@pytest.mark.parametrize("error", DAMAGE)
def test_damage_is_found(
    error: str, make: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Damage by an external command is found, whatever it changes."""
    image = make("ext4")
    sparsify(image)
    with image.open("rb") as file:
        found = survey(file.fileno(), IMAGE)
        filled = list(data(file.fileno(), IMAGE))
    holes = difference([(0, IMAGE)], [*filled])
    in_use = difference(holes, found.free)  # where the file of zeros was
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
        free = survey(file.fileno(), IMAGE).free[-1][0]
        script = 'new=$(mktemp); cat "$1" >$new; dd if=$new of="$1" bs=1M; '
        script += f'rm $new; printf x | dd of="$1" bs=1 seek={free} conv=notrunc'
        sparsify(image, method="command", command=["sh", "-c", script, "sh"], verify=True)
        assert os.pread(file.fileno(), 1, free) == b"x"
    assert allocated(image.stat()) >= IMAGE


def test_verdict_of_the_checker_is_compared(make: Callable[..., Path]) -> None:
    """A command that clears an inode and the bytes of its block, which are free by then."""
    image = make("ext4")
    script = 'debugfs -w -R "clri <13>" "$1"'
    with pytest.raises(VerificationFailed):
        sparsify(image, method="command", command=["sh", "-c", script, "sh"], verify=True)


def test_damage_from_before_is_no_failure(make: Callable[..., Path]) -> None:
    image = make("ext4")
    debugfs(image, "clri f1")
    report = sparsify(image, reclaim="none", verify=True)
    assert report.verified == ("no byte in use has changed",)
    assert any("damaged before and after: e2fsck: " in note for note in report.notes)
