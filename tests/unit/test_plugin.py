"""Parts of the plugin that need no root, and their messages."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import pytest

from bootstrapvz_sparse import upstream
from bootstrapvz_sparse.ledger.ledger import Ledger
from bootstrapvz_sparse.ledger.peak import INTERVAL, Peak
from bootstrapvz_sparse.render.json import ledger_json
from bootstrapvz_sparse.render.text import ledger_text
from bootstrapvz_sparse.util.text import human

upstream.install()

from bootstrapvz.common.exceptions import TaskError  # noqa: E402

from bootstrapvz_sparse.plugin import context  # noqa: E402
from bootstrapvz_sparse.plugin.tasks import create, host, ledger, limit  # noqa: E402

SCHEMA = Path(__file__).parent.parent.parent / "docs" / "ledger.schema.json"


SIZE = 1 << 30


class Volume:
    """As bootstrap-vz's, whose ``create`` runs truncate(1)."""

    extension = "raw"
    size = SimpleNamespace(bytes=SIZE)

    def __init__(self, create: Callable[[str], object]) -> None:
        self.create = create
        self.fsm = SimpleNamespace(current="nonexistent")
        self.image_path = ""
        self.root_exists = False

    def _after_create(self, event: None) -> None:
        self.root_exists = True


def info_with(folder: Path, create: Callable[[str], object]) -> SimpleNamespace:
    return SimpleNamespace(workspace=str(folder), volume=Volume(create))


@pytest.fixture(autouse=True)
def truncate_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda program: f"/usr/bin/{program}")


def test_created_sparse(tmp_path: Path) -> None:
    create.CreateSparse.run(info_with(tmp_path, lambda path: os.truncate(path, SIZE)))
    status = os.stat(tmp_path / "volume.raw")
    assert (status.st_size, status.st_blocks) == (SIZE, 0)


def test_created_without_truncate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda program: None)
    info = info_with(tmp_path, lambda path: pytest.fail("truncate is not there"))
    create.CreateSparse.run(info)
    status = os.stat(tmp_path / "volume.raw")
    assert (status.st_size, status.st_blocks) == (SIZE, 0)
    assert info.volume.fsm.current == "detached" and info.volume.root_exists
    assert info.volume.image_path == str(tmp_path / "volume.raw")


@pytest.mark.parametrize("truncate", [True, False])
def test_never_created_over_a_file(
    tmp_path: Path, truncate: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not truncate:
        monkeypatch.setattr(shutil, "which", lambda program: None)
    (tmp_path / "volume.raw").write_text("somebody's")
    with pytest.raises(FileExistsError):
        create.CreateSparse.run(info_with(tmp_path, lambda path: os.truncate(path, SIZE)))
    assert (tmp_path / "volume.raw").read_text() == "somebody's"


@pytest.mark.parametrize("size", [SIZE, 8192, 100])
def test_a_volume_that_is_not_sparse_is_refused(tmp_path: Path, size: int) -> None:
    def fill(path: str) -> None:
        Path(path).write_bytes(b"x" * min(size, 8192))
        os.truncate(path, size)
        with open(path, "rb") as file:
            os.fsync(file.fileno())

    with pytest.raises(TaskError, match="created with"):
        create.CreateSparse.run(info_with(tmp_path, fill))
    assert list(tmp_path.iterdir()) == []


def test_programs_that_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    def needed(block: dict[str, Any], backing: str = "raw") -> set[str]:
        info = SimpleNamespace(host_dependencies={"truncate": "coreutils", "losetup": "mount"})
        volume = {"backing": backing, "partitions": {"root": {"filesystem": "ext4"}}}
        info.manifest = SimpleNamespace(plugins={"sparse": block}, volume=volume)
        host.AddRequiredCommands.run(info)
        return set(info.host_dependencies)

    always = {"truncate", "losetup", "blkid", "sfdisk"}
    assert needed({}) == always
    assert needed({"reclaim": "zerofree"}) == always | {"zerofree"}
    assert needed({"reclaim": "discard", "sparsify": "dig-holes"}) == (
        always | {"fstrim", "fallocate"}
    )
    assert needed({"sparsify": "virt-sparsify"}) == always | {"virt-sparsify"}
    assert needed({"sparsify": "command", "sparsify_command": "'my tool' -x"}) == always
    assert needed({"tarball": {"compressor": "pigz"}}) == always | {"pigz"}
    assert needed({}, "vdi") == always | {"qemu-img"}
    assert needed({"sparsify": "none"}, "vdi") == always
    monkeypatch.setattr(shutil, "which", lambda program: None)
    assert needed({}) == always - {"truncate"}  # CreateSparse does without
    with pytest.raises(TaskError, match="sparse.sparsify_command: my tool not found"):
        needed({"sparsify": "command", "sparsify_command": "'my tool' -x"})


def test_ledger(tmp_path: Path) -> None:
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(3 << 20)
    book = Ledger()
    book.measure("created", image)
    with image.open("r+b") as file:
        file.write(b"x" * (1 << 20))
        os.fsync(file.fileno())
    book.measure("built", image, method="quick")
    book.notes.append("a remark")
    book.verified.append("all of it")
    book.peak = 2 << 20
    book.limits["allocated"] = 4 << 20
    assert ledger_text(book).splitlines() == [
        "stage          file size       on disk      time",
        "created          3.0 MiB           0 B     0.0 s",
        "built            3.0 MiB       1.0 MiB     0.0 s  quick",
        "peak                           2.0 MiB            the most on disk during the build",
        "limit                          4.0 MiB            for the image, on disk",
        "on disk: the space that the file occupies; the rest of its size is holes",
        "verified: all of it",
        "a remark",
    ]


def test_peak(tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(b"")
    peak = Peak(image)
    with image.open("r+b") as file:
        file.write(b"x" * (1 << 20))
        os.fsync(file.fileno())
        deadline = time.monotonic() + 50 * INTERVAL
        while not peak.bytes and time.monotonic() < deadline:
            time.sleep(INTERVAL / 4)
    image.write_bytes(b"y" * 4096)
    peak.stop()
    assert 1 << 20 <= peak.bytes < 2 << 20


def test_peak_of_an_image_that_goes(tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(b"x" * 4096)
    peak = Peak(image)
    image.unlink()
    peak._thread.join(50 * INTERVAL)
    assert not peak._thread.is_alive()


def reported(tmp_path: Path, report: str, *, image_path: str | None = "/images/x.raw") -> Any:
    """The file that is written of a build's ledger."""
    info = SimpleNamespace(_bootstrapvz_sparse={}, manifest_vars={"system": {"release": "trixie"}})
    info.manifest = SimpleNamespace(plugins={"sparse": {"report": str(tmp_path / report)}})
    info.volume = SimpleNamespace(**({"image_path": image_path} if image_path else {}))
    ledger.CheckReport.run(info)
    (tmp_path / "image").write_bytes(b"x" * 4096)
    book = context.state(info).ledger
    book.measure("created", tmp_path / "image")
    book.measure("sparsified", tmp_path / "image", method="punch")
    book.peak, book.limits["allocated"] = 8192, 1 << 20
    book.verified.append("a proof")
    ledger.warn(info, "a remark")
    ledger.Show.run(info)
    path = Path(str(tmp_path / report).format(**info.manifest_vars))
    assert not [other for other in path.parent.iterdir() if other.name.startswith(".")]
    return json.loads(path.read_text())


def test_report(tmp_path: Path) -> None:
    data = reported(tmp_path, "a/b/{system[release]}.json")
    jsonschema.validate(data, json.loads(SCHEMA.read_text()))
    assert (tmp_path / "a" / "b" / "trixie.json").stat().st_mode & 0o777 == 0o644
    assert [stage["stage"] for stage in data["stages"]] == ["created", "sparsified"]
    assert data["stages"][1]["method"] == "punch" and data["stages"][0]["method"] is None
    assert (data["peak"], data["limit"]) == (8192, {"allocated": 1 << 20, "tarball": None})
    assert (data["verified"], data["notes"]) == (["a proof"], ["a remark"])
    assert data["image"] == "/images/x.raw"


def test_report_of_an_image_that_became_a_tarball(tmp_path: Path) -> None:
    data = reported(tmp_path, "x.json", image_path=None)
    jsonschema.validate(data, json.loads(SCHEMA.read_text()))
    assert data["image"] is None


def test_the_schema_of_the_report_refuses_what_it_does_not_know() -> None:
    schema = json.loads(SCHEMA.read_text())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**ledger_json(Ledger(), image=None), "more": 1}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**ledger_json(Ledger(), image=None), "version": 2}, schema)


@pytest.mark.parametrize(
    ("report", "message"),
    [
        ("file/x.json", "File exists"),
        ("folder", "is a directory"),
        ("{nonsense}.json", "unknown placeholder: 'nonsense'"),
        ("{.json", "unknown placeholder"),
    ],
)
def test_a_report_that_cannot_be_written(tmp_path: Path, report: str, message: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(TaskError, match=f"plugins.sparse.report: .*{message}"):
        reported(tmp_path, report)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (741 << 20, "741.0 MiB"),
        (5 << 40, "5.0 TiB"),
    ],
)
def test_human(size: int, text: str) -> None:
    assert human(size) == text


def test_largest_folders() -> None:
    """Names in the output of ``du --null`` may have any byte except zero."""
    output = "".join(
        f"{size}\t/run/root{path}\0"
        for size, path in (
            *((500, ""), (300, "/usr"), (200, "/usr/lib"), (90, "/usr/a\nb"), (10, "/usr/\ufffd")),
            *((100, "/var"), (70, "/var/c\td"), (30, "/srv"), (20, "/opt"), (0, "/proc")),
        )
    )
    assert limit._largest(output, "/run/root") == {
        "/usr/lib": 200,
        "/usr/a\nb": 90,
        "/var/c\td": 70,
        "/srv": 30,
        "/opt": 20,
    }
    assert limit._largest("7\t/run/root\0", "/run/root") == {"/": 7}
