"""What a block may say, and what is said of all else: the path in the manifest and the remedy."""

from __future__ import annotations

import copy
from typing import Any, NoReturn

import pytest
import yaml

from bootstrapvz_sparse.plugin import validation
from bootstrapvz_sparse.plugin.backings import BACKINGS
from bootstrapvz_sparse.plugin.settings import Settings
from tests.support.manifests import SMALL


class Wrong(Exception):
    def __str__(self) -> str:
        message, path = self.args
        return f"{'.'.join(map(str, path))}: {message}"


def error(message: str, path: list[Any]) -> NoReturn:
    raise Wrong(message, path)


def validate(block: Any, backing: str = "raw", filesystem: str = "ext4", **plugins: Any) -> None:
    data = copy.deepcopy(SMALL)
    data["plugins"] = {"sparse": block, **plugins}
    data["volume"]["backing"] = backing
    data["volume"]["partitions"]["root"]["filesystem"] = filesystem
    validation.validate(data, error)


@pytest.mark.parametrize(
    "block",
    """
{}
{reclaim: auto, sparsify: punch}
{reclaim: metadata, sparsify: none}
{reclaim: none, sparsify: none}
{reclaim: discard, sparsify: dig-holes}
{reclaim: zerofree, sparsify: copy}
{sparsify: reflink, min_hole: 64KiB}
{sparsify: virt-sparsify-copy}
{sparsify: command, sparsify_command: sparsify}
{sparsify: command, sparsify_command: '"/opt/my tools/sparsify" --fast'}
{scratch: false}
{scratch: []}
{scratch: [/tmp, /var/tmp/, /usr/src]}
{verify: false}
{min_hole: 0B}
{min_hole: 1MB}
{limit: {allocated: 900MiB}}
{limit: {allocated: 10GB}}
{report: 'reports/{system.release}.json'}
""".strip().splitlines(),
)
def test_valid(block: str) -> None:
    validate(yaml.safe_load(block))


@pytest.mark.parametrize("backing", BACKINGS)
def test_the_empty_block_is_right_everywhere(backing: str) -> None:
    validate({}, backing)
    validate({}, backing, "btrfs")


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ("null", "plugins.sparse: None is not a block of settings, such as {}"),
        ("[]", "plugins.sparse: [] is not a block of settings, such as {}"),
        ("'auto'", "plugins.sparse: 'auto' is not a block"),
        ("{sparsfy: punch}", "plugins.sparse.sparsfy: unknown key, known are: reclaim, sparsify,"),
        ("{1: 2}", "plugins.sparse.1: unknown key"),
        ("{Reclaim: auto}", "plugins.sparse.Reclaim: unknown key"),
        ("{reclaim: all}", "plugins.sparse.reclaim: 'all' is not one of ['auto', 'metadata', "),
        ("{reclaim: true}", "plugins.sparse.reclaim: True is not one of"),
        ("{reclaim: null}", "plugins.sparse.reclaim: None is not one of"),
        ("{reclaim: [zerofree]}", "plugins.sparse.reclaim: ['zerofree'] is not one of"),
        ("{reclaim: punch}", "plugins.sparse.reclaim: 'punch' is not one of"),
        ("{sparsify: fast}", "plugins.sparse.sparsify: 'fast' is not one of"),
        ("{sparsify: false}", "plugins.sparse.sparsify: False is not one of"),
        ("{sparsify: dig_holes}", "plugins.sparse.sparsify: 'dig_holes' is not one of"),
        ("{sparsify: command}", "plugins.sparse.sparsify: sparsify: command needs a program"),
        ("{sparsify_command: x}", "plugins.sparse.sparsify_command: it is for sparsify: command"),
        (
            "{sparsify: punch, sparsify_command: x}",
            "plugins.sparse.sparsify_command: it is for sparsify: command alone",
        ),
        (
            "{sparsify: command, sparsify_command: [x]}",
            "plugins.sparse.sparsify_command: ['x'] is not a program, such as sparsify",
        ),
        (
            "{sparsify: command, sparsify_command: ''}",
            "plugins.sparse.sparsify_command: '' is not a program",
        ),
        (
            "{sparsify: command, sparsify_command: ' '}",
            "plugins.sparse.sparsify_command: ' ' is not a program",
        ),
        (
            "{sparsify: command, sparsify_command: '\"a'}",
            "plugins.sparse.sparsify_command: no closing quotation",
        ),
        ("{scratch: true}", "plugins.sparse.scratch: True is not a list of absolute folders"),
        ("{scratch: /tmp}", "plugins.sparse.scratch: '/tmp' is not a list of absolute folders"),
        ("{scratch: [tmp]}", "plugins.sparse.scratch: ['tmp'] is not a list of absolute folders"),
        ("{scratch: [1]}", "plugins.sparse.scratch: [1] is not a list of absolute folders"),
        ("{scratch: [/]}", "plugins.sparse.scratch.0: '/' is not a folder of the image"),
        ("{scratch: [/a, /a/../b]}", "plugins.sparse.scratch.1: '/a/../b' is not a folder"),
        ("{scratch: [/a//b]}", "plugins.sparse.scratch.0: '/a//b' is not a folder of the image"),
        ("{scratch: [/a/./b]}", "plugins.sparse.scratch.0: '/a/./b' is not a folder"),
        ("{scratch: [/dev]}", "plugins.sparse.scratch.0: '/dev' cannot be bound"),
        ("{scratch: [/proc/1]}", "plugins.sparse.scratch.0: '/proc/1' cannot be bound"),
        ("{scratch: [/var/run]}", "plugins.sparse.scratch.0: '/var/run' cannot be bound"),
        ("{scratch: [/lib/x]}", "plugins.sparse.scratch.0: '/lib/x' cannot be bound"),
        ("{scratch: [/var, /var/tmp]}", "plugins.sparse.scratch.1: '/var/tmp' and '/var' are in"),
        ("{scratch: [/tmp, /tmp/]}", "plugins.sparse.scratch.1: '/tmp' and '/tmp' are in each"),
        ("{verify: 'yes'}", "plugins.sparse.verify: 'yes' is not true or false"),
        ("{verify: 1}", "plugins.sparse.verify: 1 is not true or false"),
        ("{min_hole: 4096}", "plugins.sparse.min_hole: 4096 is not a valid size (examples: 900MiB"),
        ("{min_hole: -1B}", "plugins.sparse.min_hole: '-1B' is not a valid size (examples: 9"),
        ("{min_hole: 1.5MiB}", "plugins.sparse.min_hole: '1.5MiB' is not a valid size"),
        (
            "{min_hole: 64KiB, sparsify: copy}",
            "plugins.sparse.min_hole: it is for raw volumes with sparsify auto, punch, reflink",
        ),
        ("{limit: 900MiB}", "plugins.sparse.limit: '900MiB' is not a limit, such as {allocated"),
        ("{limit: {}}", "plugins.sparse.limit: {} is not a limit, such as {allocated: 900MiB}"),
        ("{limit: {alocated: 1B}}", "plugins.sparse.limit.alocated: unknown key, known are: all"),
        ("{limit: {allocated: 1}}", "plugins.sparse.limit.allocated: 1 is not a valid size"),
        ("{limit: {allocated: 1G B}}", "plugins.sparse.limit.allocated: '1G B' is not a valid"),
        ("{limit: {allocated: 1PiB}}", "plugins.sparse.limit.allocated: '1PiB' is not a valid"),
        ("{tarball: {level: 9}}", "plugins.sparse.tarball: only the provider gce makes a tarball"),
        ("{tarball: {level: 0}}", "plugins.sparse.tarball.level: 0 is not a whole number from 1"),
        ("{tarball: {level: fast}}", "plugins.sparse.tarball.level: 'fast' is not a whole number"),
        ("{tarball: {compressor: xz}}", "plugins.sparse.tarball.compressor: 'xz' is not one of"),
        ("{tarball: {threads: 2}}", "plugins.sparse.tarball.threads: unknown key, known are: comp"),
        ("{tarball: gzip}", "plugins.sparse.tarball: 'gzip' is not settings of the compression"),
        ("{limit: {tarball: 1GiB}}", "plugins.sparse.limit.tarball: only the provider gce makes"),
        ("{report: ''}", "plugins.sparse.report: '' is not a path"),
        ("{report: 1}", "plugins.sparse.report: 1 is not a path"),
        ("{report: [x]}", "plugins.sparse.report: ['x'] is not a path"),
    ],
)
def test_invalid(block: str, message: str) -> None:
    with pytest.raises(Wrong) as wrong:
        validate(yaml.safe_load(block))
    assert str(wrong.value).startswith(message)


@pytest.mark.parametrize(
    ("backing", "block", "message"),
    [
        ("folder", {}, "volume.backing: the sparse plugin works on image files (raw, s3, vhd, "),
        ("ebs", {}, "volume.backing: the sparse plugin works on image files"),
        ("lvm", {}, "volume.backing: the sparse plugin works on image files"),
        ("vdi", {"reclaim": "discard"}, "plugins.sparse.reclaim: discard cannot be done on a vdi"),
        ("vhd", {"reclaim": "discard"}, "plugins.sparse.reclaim: discard cannot be done on a vhd"),
        (
            "vmdk",
            {"sparsify": "punch"},
            "plugins.sparse.sparsify: punch cannot be done on a vmdk volume; what can: auto, qemu",
        ),
        ("qcow2", {"sparsify": "virt-sparsify"}, "plugins.sparse.sparsify: virt-sparsify cannot"),
        (
            "qcow2",
            {"sparsify": "none", "reclaim": "metadata"},
            "plugins.sparse.reclaim: the metadata of a qcow2 volume is read while it is converted",
        ),
        ("vdi", {"min_hole": "64KiB"}, "plugins.sparse.min_hole: it is for raw volumes"),
    ],
)
def test_what_a_backing_cannot_do(backing: str, block: dict[str, str], message: str) -> None:
    with pytest.raises(Wrong) as wrong:
        validate(block, backing)
    assert str(wrong.value).startswith(message)


def test_zerofree_needs_ext() -> None:
    validate({"reclaim": "zerofree"}, filesystem="ext2")
    with pytest.raises(Wrong, match="reclaim: zerofree is for ext2, ext3 and ext4"):
        validate({"reclaim": "zerofree"}, filesystem="xfs")


@pytest.mark.parametrize("key", ["zerofree", "shrink"])
def test_minimize_size_does_it_too(key: str) -> None:
    validate({}, minimize_size={key: False, "apt": {"autoclean": True}})
    validate({}, minimize_size=None)  # that plugin's own affair
    with pytest.raises(Wrong) as wrong:
        validate({}, minimize_size={key: True})
    assert str(wrong.value).startswith(f"plugins.minimize_size.{key}: plugins.sparse.")
    assert str(wrong.value).endswith(f"drop {key}")


def settings(**block: Any) -> Settings:
    return Settings.of({"sparse": block})


def test_settings() -> None:
    assert settings() == Settings()
    assert settings(reclaim="none").reclaim == "none"
    assert settings(sparsify_command="'a b' -c").sparsify_command == ("a b", "-c")
    assert settings(scratch=["/tmp/", "/var/tmp"]).scratch == ("tmp", "var/tmp")
    assert settings(scratch=False).scratch == ()
    assert settings(min_hole="64KB").min_hole == 65536
    assert settings(limit={"allocated": "10GB"}).limit_allocated == 10 << 30
    assert settings(limit={"allocated": "7B"}).limit_allocated == 7


def test_schema_and_settings_agree() -> None:
    schema = yaml.safe_load(validation.SCHEMA.read_text())
    keys = schema["properties"]["plugins"]["properties"]["sparse"]["properties"]
    limits = keys.pop("limit")["properties"]
    tarball = keys.pop("tarball")["properties"]
    inner = {*(f"limit_{key}" for key in limits), *(f"tarball_{key}" for key in tarball)}
    assert {*keys, *inner} == set(Settings.__dataclass_fields__)
    for key in [*keys.values(), *limits.values(), *tarball.values()]:
        assert key["title"] and key["description"]
    defaults = {name: key["default"] for name, key in keys.items() if "default" in key}
    defaults["tarball"] = {name: key["default"] for name, key in tarball.items()}
    assert Settings.of({"sparse": defaults}) == Settings()


def test_backings_name_what_the_schema_knows() -> None:
    schema = yaml.safe_load(validation.SCHEMA.read_text())
    keys = schema["properties"]["plugins"]["properties"]["sparse"]["properties"]
    assert list(BACKINGS["raw"].reclaim) == keys["reclaim"]["enum"]
    assert set(BACKINGS["raw"].sparsify) == set(keys["sparsify"]["enum"])
    for backing in BACKINGS.values():
        assert set(backing.reclaim) <= set(BACKINGS["raw"].reclaim)
        assert set(backing.sparsify) <= set(BACKINGS["raw"].sparsify)
