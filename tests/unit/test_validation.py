"""Settings of the block: valid ones, and the message for each other, with its path and remedy."""

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
        ("null", "plugins.sparse: expected a mapping of settings (for example {}), got None"),
        ("[]", "plugins.sparse: expected a mapping of settings (for example {}), got []"),
        ("'auto'", "plugins.sparse: expected a mapping of settings (for example {}), got 'auto'"),
        ("{sparsfy: punch}", "plugins.sparse.sparsfy: unknown key (known keys: reclaim, sparsify,"),
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
        ("{sparsify: command}", "plugins.sparse.sparsify: command needs a program"),
        (
            "{sparsify_command: x}",
            "plugins.sparse.sparsify_command: only used with sparsify: command",
        ),
        (
            "{sparsify: punch, sparsify_command: x}",
            "plugins.sparse.sparsify_command: only used with sparsify: command; add",
        ),
        (
            "{sparsify: command, sparsify_command: [x]}",
            "plugins.sparse.sparsify_command: expected a program (for example ",
        ),
        (
            "{sparsify: command, sparsify_command: ''}",
            "plugins.sparse.sparsify_command: expected a program (for example ",
        ),
        (
            "{sparsify: command, sparsify_command: ' '}",
            "plugins.sparse.sparsify_command: expected a program (for example ",
        ),
        (
            "{sparsify: command, sparsify_command: '\"a'}",
            "plugins.sparse.sparsify_command: no closing quotation",
        ),
        (
            "{scratch: true}",
            "plugins.sparse.scratch: expected a list of absolute folders or false, got True",
        ),
        (
            "{scratch: /tmp}",
            "plugins.sparse.scratch: expected a list of absolute folders or false, got '/tmp'",
        ),
        (
            "{scratch: [tmp]}",
            "plugins.sparse.scratch: expected a list of absolute folders or false, got ['tmp']",
        ),
        ("{scratch: [/]}", "plugins.sparse.scratch.0: '/' is not a plain absolute path"),
        (
            "{scratch: [/a, /a/../b]}",
            "plugins.sparse.scratch.1: '/a/../b' is not a plain absolute path",
        ),
        ("{scratch: [/a//b]}", "plugins.sparse.scratch.0: '/a//b' is not a plain absolute path"),
        ("{scratch: [/a/./b]}", "plugins.sparse.scratch.0: '/a/./b' is not a plain absolute path"),
        ("{scratch: [/dev]}", "plugins.sparse.scratch.0: '/dev' belongs to the kernel or is a"),
        (
            "{scratch: [/proc/1]}",
            "plugins.sparse.scratch.0: '/proc/1' belongs to the kernel or is a",
        ),
        (
            "{scratch: [/var/run]}",
            "plugins.sparse.scratch.0: '/var/run' belongs to the kernel or is a",
        ),
        ("{scratch: [/lib/x]}", "plugins.sparse.scratch.0: '/lib/x' belongs to the kernel or is a"),
        ("{scratch: [/var, /var/tmp]}", "plugins.sparse.scratch.1: '/var/tmp' and '/var' overlap"),
        ("{scratch: [/tmp, /tmp/]}", "plugins.sparse.scratch.1: '/tmp' and '/tmp' overlap"),
        ("{verify: 'yes'}", "plugins.sparse.verify: expected true or false, got 'yes'"),
        ("{verify: 1}", "plugins.sparse.verify: expected true or false, got 1"),
        (
            "{min_hole: 4096}",
            "plugins.sparse.min_hole: expected a valid size (examples: 900MiB, 2GiB), got 4096",
        ),
        (
            "{min_hole: -1B}",
            "plugins.sparse.min_hole: expected a valid size (examples: 900MiB, 2GiB), got '-1B'",
        ),
        (
            "{min_hole: 64KiB, sparsify: copy}",
            "plugins.sparse.min_hole: only used on raw volumes with sparsify auto, punch, reflink",
        ),
        (
            "{limit: 900MiB}",
            "plugins.sparse.limit: expected a limit (for example {allocated: 900MiB}), got '900",
        ),
        (
            "{limit: {}}",
            "plugins.sparse.limit: expected a limit (for example {allocated: 900MiB}), got {}",
        ),
        ("{limit: {alocated: 1B}}", "plugins.sparse.limit.alocated: unknown key (known keys: all"),
        (
            "{limit: {allocated: 1}}",
            "plugins.sparse.limit.allocated: expected a valid size (examples: 900MiB, 2GiB), got 1",
        ),
        (
            "{limit: {allocated: 1G B}}",
            "plugins.sparse.limit.allocated: expected a valid size (examples: 900MiB, 2GiB), got '",
        ),
        (
            "{limit: {allocated: 1PiB}}",
            "plugins.sparse.limit.allocated: expected a valid size (examples: 900MiB, 2GiB), got '",
        ),
        ("{tarball: {level: 9}}", "plugins.sparse.tarball: only the provider gce makes a tarball"),
        (
            "{tarball: {level: 0}}",
            "plugins.sparse.tarball.level: expected a whole number from 1 to 9, got 0",
        ),
        (
            "{tarball: {level: fast}}",
            "plugins.sparse.tarball.level: expected a whole number from 1 to 9, got 'fast'",
        ),
        ("{tarball: {compressor: xz}}", "plugins.sparse.tarball.compressor: 'xz' is not one of"),
        (
            "{tarball: {threads: 2}}",
            "plugins.sparse.tarball.threads: unknown key (known keys: comp",
        ),
        (
            "{tarball: gzip}",
            "plugins.sparse.tarball: expected a mapping of settings (for example {level: 9}), got ",
        ),
        ("{limit: {tarball: 1GiB}}", "plugins.sparse.limit.tarball: only the provider gce makes"),
        ("{report: ''}", "plugins.sparse.report: expected a path, got ''"),
        ("{report: 1}", "plugins.sparse.report: expected a path, got 1"),
        ("{report: [x]}", "plugins.sparse.report: expected a path, got ['x']"),
    ],
)
def test_invalid(block: str, message: str) -> None:
    with pytest.raises(Wrong) as wrong:
        validate(yaml.safe_load(block))
    assert str(wrong.value).startswith(message)


@pytest.mark.parametrize(
    ("backing", "block", "message"),
    [
        (
            "folder",
            {},
            "volume.backing: the sparse plugin needs a file-backed volume (raw, s3, vhd, ",
        ),
        ("ebs", {}, "volume.backing: the sparse plugin needs a file-backed volume"),
        ("lvm", {}, "volume.backing: the sparse plugin needs a file-backed volume"),
        (
            "vdi",
            {"reclaim": "discard"},
            "plugins.sparse.reclaim: discard is not supported on vdi volumes",
        ),
        (
            "vhd",
            {"reclaim": "discard"},
            "plugins.sparse.reclaim: discard is not supported on vhd volumes",
        ),
        (
            "vmdk",
            {"sparsify": "punch"},
            "plugins.sparse.sparsify: punch is not supported on vmdk volumes (use auto, qemu",
        ),
        ("qcow2", {"sparsify": "virt-sparsify"}, "plugins.sparse.sparsify: virt-sparsify is not"),
        (
            "qcow2",
            {"sparsify": "none", "reclaim": "metadata"},
            "plugins.sparse.reclaim: the metadata of qcow2 volumes is read during conversion",
        ),
        ("vdi", {"min_hole": "64KiB"}, "plugins.sparse.min_hole: only used on raw volumes"),
    ],
)
def test_what_a_backing_cannot_do(backing: str, block: dict[str, str], message: str) -> None:
    with pytest.raises(Wrong) as wrong:
        validate(block, backing)
    assert str(wrong.value).startswith(message)


def test_zerofree_needs_ext() -> None:
    validate({"reclaim": "zerofree"}, filesystem="ext2")
    with pytest.raises(Wrong, match="reclaim: zerofree needs an ext2, ext3 or ext4"):
        validate({"reclaim": "zerofree"}, filesystem="xfs")


@pytest.mark.parametrize("key", ["zerofree", "shrink"])
def test_minimize_size_does_it_too(key: str) -> None:
    validate({}, minimize_size={key: False, "apt": {"autoclean": True}})
    validate({}, minimize_size=None)  # that plugin's own affair
    with pytest.raises(Wrong) as wrong:
        validate({}, minimize_size={key: True})
    assert str(wrong.value).startswith(f"plugins.minimize_size.{key}: plugins.sparse.")
    assert str(wrong.value).endswith(f"remove {key}")


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
