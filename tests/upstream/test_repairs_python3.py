"""Repairs of what breaks on Python 3."""

from __future__ import annotations

import io
import sys
import uuid
from types import SimpleNamespace

from .image import Image
from .needs import needs


@needs("bootstrapvz.common.releases:compare_releases")
def test_releases_compare_by_version(image: Image) -> None:
    from bootstrapvz.common.releases import jessie, stretch

    assert jessie < stretch <= stretch and stretch > jessie >= jessie
    assert jessie == jessie != stretch and jessie != "jessie"


@needs("bootstrapvz.base.phase:compare_phases")
def test_phases_compare_by_order(image: Image) -> None:
    from bootstrapvz.common import phases

    assert phases.validation < phases.cleaning and phases.cleaning >= phases.preparation


@needs("bootstrapvz.common.bytes:divide_units")
def test_bytes_divide_and_hash(image: Image) -> None:
    from bootstrapvz.common.bytes import Bytes

    assert Bytes("4GiB") / 2 == Bytes("2GiB") and Bytes("4GiB") / Bytes("1GiB") == 4
    assert hash(Bytes(1)) is not None


@needs("bootstrapvz.common.sectors:divide_units")
def test_sectors_divide_and_hash(image: Image) -> None:
    from bootstrapvz.common.sectors import Sectors

    assert (Sectors("4KiB", "512B") / 2).get_sectors() == 4
    assert hash(Sectors(1, "512B")) is not None


@needs("bootstrapvz.common.tools:edit_any_text")
def test_edits_text_that_is_not_utf8(image: Image) -> None:
    from bootstrapvz.common.tools import inline_replace

    path = image.write("file", b"caf\xe9 old\r\nold\n")
    assert inline_replace(path, "old", "new") == 2
    assert image.read("file") == b"caf\xe9 new\r\nnew\n"


@needs("bootstrapvz.common.tools:run_programs")
def test_reads_output_of_programs(image: Image) -> None:
    from bootstrapvz.common.tools import log_call

    status, out, err = log_call(["sh", "-c", "echo out; echo err >&2; cat; exit 3"], stdin="in")
    assert (status, out, err) == (3, ["out", "in"], ["err"])
    assert log_call(["sh", "-c", "printf 'caf\\351'"])[1] == ["caf\ufffd"]


@needs("common/tasks/bootstrap.py")
def test_finds_cached_tarball_again(image: Image) -> None:
    from bootstrapvz.common.tasks.bootstrap import get_tarball_filename

    info = image.info(
        include_packages={"locales", "sudo", "curl"}, exclude_packages={"vim", "nano"}
    )
    info.manifest.bootstrapper = {"workspace": "/w", "variant": "minbase"}
    assert get_tarball_filename(info) == "/w/debootstrap-bfaf8587.tar"


@needs("common/fs/virtualdiskimage.py")
def test_reads_uuid_of_vdi_image(image: Image) -> None:
    from bootstrapvz.common.fs.virtualdiskimage import VirtualDiskImage

    expected = uuid.UUID(int=0xFFFEFDFCFBFAF9F8F7F6F5F4F3F2F1F0)
    path = image.write("disk.vdi", bytes(392) + expected.bytes_le)
    assert VirtualDiskImage.get_uuid(SimpleNamespace(image_path=path)) == expected


@needs("plugins/salt/tasks.py")
def test_writes_install_script_of_salt(image: Image) -> None:
    from bootstrapvz.plugins.salt import tasks

    script = b"install_debian_check_services\n"
    tasks.urllib = SimpleNamespace(urlopen=lambda url: io.BytesIO(script))
    tasks.log_check_call = lambda command: None
    info = image.info()
    info.manifest.plugins = {"salt": {}}
    tasks.BootstrapSaltMinion.run(info)
    assert image.read("install_salt.sh") == b"disabled_debian_check_services\n"


@needs("providers/docker/tasks/image.py")
def test_dates_docker_image_without_pytz(image: Image) -> None:
    sys.modules["pytz"] = None  # type: ignore[assignment]  # as where it is not installed
    from bootstrapvz.providers.docker.tasks.image import PopulateLabels

    info = image.info(_docker={"dockerfile": []})
    PopulateLabels.run(info)
    assert any("build-date" in line for line in info._docker["dockerfile"])
