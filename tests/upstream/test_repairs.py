"""Each repair and each substitution has code here that works with it and fails without it."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from bootstrapvz_sparse.upstream import registry, translate

PRELUDE = """
import builtins, io, os, stat, sys
from types import SimpleNamespace as NS
from bootstrapvz_sparse.upstream import importer, registry, translate
{taken_out}
importer.install()
root = os.path.join(os.getcwd(), 'root')
os.makedirs(root)
def write(path, content=b''):
    path = os.path.join(root, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with io.open(path, 'wb') as file:
        file.write(content)
    return path
def read(path):
    with io.open(os.path.join(root, path), 'rb') as file:
        return file.read()
def stay_inside():
    'Nothing outside the image may be opened for writing.'
    real = builtins.open
    def guarded(path, mode='r', *arguments, **keywords):
        assert mode == 'r' or str(path).startswith(root), path
        return real(path, mode, *arguments, **keywords)
    builtins.open = guarded
def info(release='bookworm', **attributes):
    from bootstrapvz.base.bootstrapinfo import DictClass
    from bootstrapvz.base.pkg.packagelist import PackageList
    from bootstrapvz.base.pkg.sourceslist import SourceLists
    from bootstrapvz.common.releases import get_release
    system = DictClass(release=release, architecture='amd64')
    variables = {{'system': system, 'apt_mirror': 'http://mirror/'}}
    lists = SourceLists(variables)
    manifest = NS(release=get_release(release), system=system, plugins={{}}, packages={{}},
                  bootstrapper={{'workspace': os.getcwd()}}, provider={{}}, path='/', name='name')
    made = NS(root=root, workspace=os.getcwd(), manifest=manifest, manifest_vars=variables,
              source_lists=lists, packages=PackageList(variables, lists), apt_mirror='http://m/',
              include_packages=set(), exclude_packages=set())
    made.__dict__.update(attributes)
    return made
"""

KEYS: dict[str, list[tuple[str, str] | str]] = {}
CODE: dict[str, str] = {}


def works_with(name: str, *keys: tuple[str, str] | str, code: str) -> None:
    KEYS[name], CODE[name] = list(keys), textwrap.dedent(code)


works_with(
    "releases compare",
    ("bootstrapvz.common.releases", "compare_releases"),
    code="""
    from bootstrapvz.common.releases import jessie, stretch
    assert jessie < stretch <= stretch and stretch > jessie >= jessie
    assert jessie == jessie != stretch and jessie != 'jessie'
    """,
)
works_with(
    "phases compare",
    ("bootstrapvz.base.phase", "compare_phases"),
    code="""
    from bootstrapvz.common import phases
    assert phases.validation < phases.cleaning and phases.cleaning >= phases.preparation
    """,
)
works_with(
    "Bytes divide and hash",
    ("bootstrapvz.common.bytes", "units"),
    code="""
    from bootstrapvz.common.bytes import Bytes
    assert Bytes('4GiB') / 2 == Bytes('2GiB') and Bytes('4GiB') / Bytes('1GiB') == 4
    assert hash(Bytes(1)) is not None
    """,
)
works_with(
    "Sectors divide and hash",
    ("bootstrapvz.common.sectors", "units"),
    code="""
    from bootstrapvz.common.sectors import Sectors
    assert (Sectors('4KiB', '512B') / 2).get_sectors() == 4
    assert hash(Sectors(1, '512B')) is not None
    """,
)
works_with(
    "the order of tasks is always the same",
    ("bootstrapvz.base.tasklist", "task_order"),
    code="""
    from bootstrapvz.base.tasklist import topological_sort
    names = 'abcdef'
    one = topological_sort({n: set() for n in names})
    other = topological_sort({n: set() for n in reversed(names)})
    assert one == other
    """,
)
works_with(
    "text that is no UTF-8 is edited",
    ("bootstrapvz.common.tools", "inline_replace"),
    code="""
    from bootstrapvz.common.tools import inline_replace
    path = write('file', b'caf\\xe9 old\\r\\nold\\n')
    assert inline_replace(path, 'old', 'new') == 2
    assert read('file') == b'caf\\xe9 new\\r\\nnew\\n'
    print('stdout is still there')
    """,
)
works_with(
    "programs are run and their output is read",
    ("bootstrapvz.common.tools", "log_call"),
    code="""
    from bootstrapvz.common.tools import log_call
    status, out, err = log_call(['sh', '-c', 'echo out; echo err >&2; cat; exit 3'], stdin='in')
    assert (status, out, err) == (3, ['out', 'in'], ['err'])
    assert log_call(['sh', '-c', "printf 'caf\\\\351'"])[1] == ['caf\\ufffd']
    """,
)
works_with(
    "today's releases",
    ("bootstrapvz.common.releases", "releases"),
    code="""
    from bootstrapvz.common.releases import get_release, sid, stretch
    names = ['buster', 'bullseye', 'bookworm', 'trixie', 'forky', 'sid']
    found = [get_release(name) for name in names]
    assert found == sorted(found, key=lambda release: release.version) and found[0] > stretch
    assert get_release('stable').codename == 'trixie' and get_release('unstable') == sid
    """,
)
works_with(
    "tables that end at stretch",
    ("bootstrapvz.common.tools", "tables"),
    code="""
    from bootstrapvz.common.tools import config_get
    path = write('table.yml', b'stretch: {amd64: linux-image-amd64}')
    assert config_get(path, ['trixie', 'amd64']) == 'linux-image-amd64'
    """,
)
works_with(
    "extlinux has its configuration",
    ("bootstrapvz.common.tasks", "assets"),
    code="""
    from bootstrapvz.common.tasks.extlinux import ConfigureExtlinuxJessie
    write('boot/vmlinuz')
    partition = NS(get_uuid=lambda: 'SOME-UUID')
    volume = NS(partition_map=NS(root=partition))
    ConfigureExtlinuxJessie.run(info(volume=volume, kernel_version='6.1'))
    text = read('boot/extlinux/extlinux.conf').decode()
    assert 'linux /boot/vmlinuz-6.1\\n' in text and 'initrd /boot/initrd.img-6.1\\n' in text
    assert 'root=UUID=SOME-UUID' in text and 'net.ifnames=0' in text
    """,
)
works_with(
    "a missing program is missed",
    ("bootstrapvz.common.tasks.host", "host_commands"),
    code="""
    from bootstrapvz.common.exceptions import TaskError
    from bootstrapvz.common.tasks.host import CheckExternalCommands
    CheckExternalCommands.run(NS(host_dependencies={'sh': 'dash'}))
    try:
        CheckExternalCommands.run(NS(host_dependencies={'no-such-program': 'a-package'}))
    except TaskError as error:
        assert 'no-such-program (package a-package)' in str(error)
    else:
        raise AssertionError('not missed')
    """,
)
works_with(
    "/etc/mtab stays a link",
    ("bootstrapvz.common.tasks.filesystem", "mount_table"),
    code="""
    from bootstrapvz.common.tasks.filesystem import CopyMountTable, RemoveMountTable
    os.mkdir(os.path.join(root, 'etc'))
    os.symlink('../proc/self/mounts', os.path.join(root, 'etc/mtab'))
    CopyMountTable.run(info())
    RemoveMountTable.run(info())
    assert os.path.islink(os.path.join(root, 'etc/mtab'))
    """,
)
works_with(
    "debootstrap makes a tarball",
    ("bootstrapvz.common.tasks.bootstrap", "bootstrap_tarball"),
    code="""
    from bootstrapvz.common import tools
    from bootstrapvz.common.tasks import bootstrap
    write('lost+found/x')
    def debootstrap(command):  # refuses a folder that is not empty, with status 1
        [target] = [word for word in command if os.path.isdir(word)]
        if os.listdir(target):
            return 1, [], []
        [tarball] = [w[15:] for w in command if w.startswith('--make-tarball=')]
        assert os.path.dirname(os.path.dirname(tarball)) == build.workspace  # a part has no name
        open(tarball, 'w').close()
        return 0, [], []
    tools.log_call = debootstrap
    build = info()
    bootstrap.MakeTarball.run(build)
    assert os.path.exists(bootstrap.get_tarball_filename(build)) and build.root == root
    assert sorted(os.listdir('.')) == sorted(
        ['root', os.path.basename(bootstrap.get_tarball_filename(build))])
    """,
)
works_with(
    "the security archive",
    ("bootstrapvz.common.tasks.apt", "security_suite"),
    code="""
    from bootstrapvz.common.tasks.apt import AddDefaultSources
    def security(release):
        build = info(release)
        AddDefaultSources.run(build)
        return [str(s) for s in build.source_lists.sources['main'] if 'security' in s.uri]
    assert security('bookworm') == [
        'deb http://security.debian.org/debian-security bookworm-security main']
    assert security('buster') == [
        'deb http://security.debian.org/debian-security buster/updates main']
    """,
)
works_with(
    "host keys are made by a systemd unit",
    ("bootstrapvz.common.tasks.initd", "systemd_units"),
    code="""
    from bootstrapvz.common.tasks import initd
    called = []
    initd.log_check_call = called.append
    os.makedirs(os.path.join(root, 'etc/systemd/system'))
    scripts = {'install': {'generate-ssh-hostkeys': '/nowhere'}, 'disable': []}
    initd.InstallInitScripts.run(info(initd=scripts))
    assert b'ssh-keygen -A' in read('etc/systemd/system/generate-ssh-hostkeys.service')
    assert called == [['chroot', root, 'systemctl', 'enable', 'generate-ssh-hostkeys.service']]
    """,
)
works_with(
    "expand-root is no init script",
    ("bootstrapvz.common.tasks.initd", "root_device"),
    code="""
    from bootstrapvz.common.tasks import initd
    called = []
    initd.log_check_call = called.append
    for folder in ('etc/systemd/system', 'usr/local/sbin'):
        os.makedirs(os.path.join(root, folder))
    partition = NS(get_index=lambda: 1)
    volume = NS(partition_map=NS(root=partition), device_path='/dev/loop7')
    build = info(initd={'install': {}, 'disable': []}, volume=volume)
    initd.AddExpandRoot.run(build)
    initd.InstallInitScripts.run(build)
    initd.AdjustExpandRootScript.run(build)
    initd.AdjustGrowpartWorkaround.run(build)
    assert os.access(os.path.join(root, 'usr/local/sbin/expand-root'), os.X_OK)
    assert b'/dev/loop' not in read('usr/local/sbin/expand-root')
    assert called == [['chroot', root, 'systemctl', 'enable', 'expand-root.service']]
    """,
)
works_with(
    "gce's expand-root has the machine's own device",
    ("bootstrapvz.providers.gce.tasks.initd", "root_device"),
    code="""
    from bootstrapvz.providers.gce.tasks.initd import AdjustExpandRootDev
    AdjustExpandRootDev.run(info())
    """,
)
works_with(
    "gce's images have no host keys either",
    ("bootstrapvz.providers.gce", "gce_host_keys"),
    code="""
    from bootstrapvz.common.releases import get_release
    from bootstrapvz.common.tasks.ssh import ShredHostkeys
    from bootstrapvz.providers import gce
    manifest = NS(
        release=get_release('bookworm'), system={'bootloader': 'grub'}, packages={}, provider={},
        bootstrapper={},
        volume={'partitions': {'type': 'msdos', 'root': {'filesystem': 'ext4'}}},
    )
    tasks = set()
    gce.resolve_tasks(tasks, manifest)
    assert ShredHostkeys in tasks
    """,
)
works_with(
    "no host key stays in the image",
    ("bootstrapvz.common.tasks.ssh", "host_keys"),
    code="""
    from bootstrapvz.common.tasks.ssh import ShredHostkeys
    ShredHostkeys.run(info())
    for name in ('dsa', 'rsa', 'ecdsa', 'ed25519', 'of_the_future'):
        write('etc/ssh/ssh_host_%s_key' % name, b'secret')
        write('etc/ssh/ssh_host_%s_key.pub' % name, b'public')
    ShredHostkeys.run(info())
    assert os.listdir(os.path.join(root, 'etc/ssh')) == []
    """,
)
works_with(
    "each machine gets an id of its own, the host keeps its motd",
    ("bootstrapvz.common.tasks.cleanup", "motd_and_machine_id"),
    code="""
    from bootstrapvz.common.tasks.cleanup import ClearMOTD
    write('etc/machine-id', b'0123456789abcdef\\n')
    stay_inside()
    ClearMOTD.run(info())
    assert read('etc/machine-id') == b''
    """,
)
works_with(
    "virtio modules go into the image",
    ("bootstrapvz.providers.kvm.tasks.virtio", "virtio_modules"),
    code="""
    from bootstrapvz.providers.kvm.tasks.virtio import VirtIO
    write('etc/initramfs-tools/modules', b'# modules\\n')
    build = info()
    build.manifest.provider = {'virtio': ['virtio_blk', 'virtio_net']}
    stay_inside()
    VirtIO.run(build)
    assert read('etc/initramfs-tools/modules') == b'# modules\\n\\nvirtio_blk\\nvirtio_net\\n'
    """,
)
works_with(
    "everybody may write into /tmp",
    ("bootstrapvz.plugins.minimize_size.tasks.mounts", "temporary_folder"),
    code="""
    from bootstrapvz.plugins.minimize_size.tasks.mounts import AddFolderMounts
    os.mkdir(os.path.join(root, 'tmp'))
    partition = NS(add_mount=lambda source, target, options: None)
    AddFolderMounts.run(info(_minimize_size={}, volume=NS(partition_map=NS(root=partition))))
    assert stat.S_IMODE(os.stat(os.path.join(root, 'tmp')).st_mode) == 0o1777
    """,
)
for module, task, old, new in (
    ("providers.azure.tasks.packages", "DefaultPackages", "python-openssl", "python3-openssl"),
    ("providers.gce.tasks.packages", "DefaultPackages", "ntp", "chrony"),
    ("plugins.ansible.tasks", "AddPackages", "python", "python3"),
    ("plugins.ntp.tasks", "AddNtpPackage", "ntp", "ntpsec"),
    ("plugins.pip_install.tasks", "AddPipPackage", "python-pip", "python3-pip"),
):
    works_with(
        f"packages that {module} asks for",
        (f"bootstrapvz.{module}", "renamed_packages"),
        code=f"""
        from bootstrapvz.{module} import {task}
        build = info()
        {task}.run(build)
        names = [str(package) for package in build.packages.install]
        assert {new!r} in names and {old!r} not in names
        build = info('stretch')
        {task}.run(build)
        assert {old!r} in [str(package) for package in build.packages.install]
        """,
    )
works_with(
    "the cached tarball is found again",
    "common/tasks/bootstrap.py",
    code="""
    from bootstrapvz.common.tasks.bootstrap import get_tarball_filename
    build = info(include_packages={'locales', 'sudo', 'curl'}, exclude_packages={'vim', 'nano'})
    build.manifest.bootstrapper = {'workspace': '/w', 'variant': 'minbase'}
    assert get_tarball_filename(build) == '/w/debootstrap-bfaf8587.tar'
    """,
)
works_with(
    "the UUID of a VDI image",
    "common/fs/virtualdiskimage.py",
    code="""
    import uuid
    from bootstrapvz.common.fs.virtualdiskimage import VirtualDiskImage
    wanted = uuid.UUID(int=0xfffefdfcfbfaf9f8f7f6f5f4f3f2f1f0)
    path = write('disk.vdi', bytes(392) + wanted.bytes_le)
    assert VirtualDiskImage.get_uuid(NS(image_path=path)) == wanted
    """,
)
works_with(
    "salt's script is written",
    "plugins/salt/tasks.py",
    code="""
    from bootstrapvz.plugins.salt import tasks
    script = b'install_debian_check_services\\n'
    tasks.urllib = NS(urlopen=lambda url: io.BytesIO(script))
    tasks.log_check_call = lambda command: None
    build = info()
    build.manifest.plugins = {'salt': {}}
    tasks.BootstrapSaltMinion.run(build)
    assert read('install_salt.sh') == b'disabled_debian_check_services\\n'
    """,
)
works_with(
    "root's login where the line is a comment",
    "common/tasks/ssh.py",
    code="""
    from bootstrapvz.common.tasks.ssh import DisableRootLogin
    write('etc/ssh/sshd_config', b'#PermitRootLogin prohibit-password\\n')
    DisableRootLogin.run(info())
    assert read('etc/ssh/sshd_config') == b'PermitRootLogin no\\n'
    """,
)
works_with(
    "labels of a docker image",
    "providers/docker/tasks/image.py",
    code="""
    sys.modules['pytz'] = None  # as where it is not installed
    from bootstrapvz.providers.docker.tasks.image import PopulateLabels
    build = info(_docker={'dockerfile': []})
    PopulateLabels.run(build)
    assert any('build-date' in line for line in build._docker['dockerfile'])
    """,
)
works_with(
    "the public key of the admin user is looked at",
    "plugins/admin_user/tasks.py",
    code="""
    from bootstrapvz.common import tools
    from bootstrapvz.plugins.admin_user.tasks import CheckPublicKeyFile
    path = write('key.pub')
    called = []
    tools.log_call = lambda command: called.append(command) or (0, [], [])
    build = info()
    build.manifest.plugins = {'admin_user': {'pubkey': path}}
    CheckPublicKeyFile.run(build)
    assert called == [['ssh-keygen', '-l', '-f', path]]
    """,
)
works_with(
    "an unknown release is named",
    "common/releases.py",
    code="""
    from bootstrapvz.common.releases import UnknownReleaseException, get_release
    try:
        get_release('nonesuch')
    except UnknownReleaseException as error:
        assert 'nonesuch' in str(error)
    """,
)


def run(folder: Path, name: str, taken_out: str) -> subprocess.CompletedProcess[str]:
    folder.mkdir()
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", PRELUDE.format(taken_out=taken_out) + CODE[name]],
        cwd=folder,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        timeout=10,
    )


@pytest.mark.parametrize("name", CODE)
def test_repair(name: str, tmp_path: Path) -> None:
    done = run(tmp_path / "with", name, taken_out="")
    assert done.returncode == 0, done.stderr
    for number, key in enumerate(KEYS[name]):
        table = "translate.SUBSTITUTIONS" if isinstance(key, str) else "registry.REPAIRS"
        try:
            done = run(tmp_path / f"without-{number}", name, taken_out=f"del {table}[{key!r}]")
        except subprocess.TimeoutExpired:
            continue  # it never ends
        assert done.returncode != 0


def test_every_repair_is_tested() -> None:
    tested = {key for keys in KEYS.values() for key in keys}
    assert tested == {*registry.REPAIRS, *translate.SUBSTITUTIONS}
