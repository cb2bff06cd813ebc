"""Run the tests on another release of Debian: tools/test_host.py RELEASE [OPTIONS OF PYTEST].

The root folder is build/hosts/RELEASE, made by debootstrap from the mirror of this host, and used
again by the next run. It holds the packages of --packages, a virtual environment and a copy of the
tracked files. All tests except builds run in it. Needs root.

A mount namespace has this folder as its root: not a chroot, in which the kernel allows no user
namespaces. With the PID namespace it ends with this program, and so do all mounts and processes.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent
HOSTS = SOURCE / "build" / "hosts"
ALSO_NEEDED = ("ca-certificates", "python3", "python3-venv")
SETTINGS = ("/etc/resolv.conf", "/etc/pip.conf", "/etc/ssl/certs/ca-certificates.crt")
SELECTION = ("-m", "not build")
ROLLING = ("stable", "testing", "unstable", "sid")
NAMESPACES = (
    *("unshare", "--mount", "--propagation", "unchanged", "--pid", "--fork", "--kill-child"),
    "--",
)


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Run the tests on another release of Debian.", allow_abbrev=False
    )
    parser.add_argument("release", metavar="RELEASE", help="such as bookworm, trixie or sid")
    parser.add_argument("--packages", default="", help="Debian packages that the tests need")
    parser.add_argument("--mirror", default="", help="URL (default: the one in apt's sources)")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options, pytest = parser.parse_known_args()
    if not re.fullmatch(r"[a-z]+", options.release):
        parser.error(f"{options.release}: not the code name of a release")
    if os.geteuid() != 0:
        parser.error("a chroot needs root")
    if not options.inside:
        script = [sys.executable, __file__, "--inside", *sys.argv[1:]]
        os.execvp(NAMESPACES[0], [*NAMESPACES, *script])
    packages = {*ALSO_NEEDED, *options.packages.split()}
    HOSTS.mkdir(parents=True, exist_ok=True)
    with open(HOSTS / f"{options.release}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        make_private()
        root = bootstrap(options.release, options.mirror)
        settings = {name: Path(name).read_bytes() for name in SETTINGS if Path(name).exists()}
        write_settings(root, settings)
        copy_source(root / "project")
        enter(root)
        os.environ.pop("TMPDIR", None)
        os.environ.pop("CI", None)  # the root has one Python: tests of others are skipped there
        install(packages)
        write_settings(Path("/"), settings)  # ca-certificates has its own
        python = make_environment()
        os.chdir("/project")
        return reap([python, "-m", "pytest", *SELECTION, *pytest])


def run(*command: str | Path, cwd: Path | None = None) -> str:
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=cwd)
    return done.stdout


def make_private() -> None:
    """Let no mount be propagated to the host, from wherever / is a mount point.

    :raises CalledProcessError: not permitted
    """
    private = ["mount", "--make-rprivate", "/"]
    if subprocess.run(private, stderr=subprocess.DEVNULL).returncode:
        run("nsenter", f"--mount=/proc/{os.getpid()}/ns/mnt", *private)


def bootstrap(release: str, mirror: str) -> Path:
    """Return the root folder of the release, made if it is not there.

    :raises CalledProcessError: debootstrap fails
    """
    root, unfinished = HOSTS / release, HOSTS / f"{release}.unfinished"
    if not root.exists():
        if unfinished.exists():
            shutil.rmtree(unfinished)
        subprocess.run(
            ["debootstrap", "--variant=minbase", release, unfinished, mirror or mirror_of_host()],
            check=True,
        )
        unfinished.rename(root)
    return root


def mirror_of_host() -> str:
    """Return the URL that this host has its own packages from.

    :raises SystemExit: its sources name none
    """
    system = Path("/etc/os-release").read_text()
    found = re.search(r"^VERSION_CODENAME=(\w+)$", system, re.M)
    release = found[1] if found else ""
    listed = run(
        *("apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)"),
        "Created-By: Packages",
    )
    if url := choose_mirror(listed.splitlines(), release):
        return url
    raise SystemExit(f"apt's sources have no mirror of {release or 'Debian'} (name one: --mirror)")


def choose_mirror(lines: Iterable[str], release: str) -> str:
    """Return the URL of the first of apt's sources that has all of Debian; "" if none has."""
    for line in lines:
        url, suite, component = line.split()
        if suite in (release, *ROLLING) and component == "main" and not url.startswith("file:"):
            return url
    return ""


def write_settings(root: Path, settings: dict[str, bytes]) -> None:
    for name, content in settings.items():
        path = root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_bytes(content)


def enter(root: Path) -> None:
    """Make the folder the root of this mount namespace, without the filesystems of the host.

    :raises CalledProcessError: not permitted
    """
    run("mount", "--bind", root, root)
    run("mount", "-t", "proc", "proc", root / "proc")
    for name in ("sys", "dev"):
        run("mount", "--rbind", f"/{name}", root / name)
    run("mount", "-t", "tmpfs", "tmpfs", root / "run")
    (root / "run" / "lock").mkdir()  # /var/lock leads there: packages have files in it
    if not os.path.lexists(root / "etc" / "mtab"):
        (root / "etc" / "mtab").symlink_to("../proc/self/mounts")  # as systemd does
    run("pivot_root", ".", "mnt", cwd=root)
    os.chdir("/")
    run("umount", "--lazy", "/mnt")


def install(packages: set[str]) -> None:
    """Install what is not installed yet.

    :raises CalledProcessError: apt fails
    """
    listed = run("dpkg-query", "-W", "-f=${Package} ${db:Status-Status}\n").splitlines()
    installed = {line.split()[0] for line in listed if line.endswith(" installed")}
    if not (missing := packages - installed):
        return
    apt = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]
    run(*apt, "update")
    if unknown := sorted(missing - set(run("apt-cache", "pkgnames").split())):
        print(f"this release has no package {', '.join(unknown)}", file=sys.stderr)
    command = ["install", "--yes", "--no-install-recommends", *sorted(missing.difference(unknown))]
    subprocess.run([*apt, *command], check=True, stdout=subprocess.DEVNULL)


def copy_source(target: Path) -> None:
    """Copy the tracked files as they are now.

    :raises CalledProcessError: this is not a clone
    """
    listed = run("git", "-c", f"safe.directory={SOURCE}", "-C", SOURCE, "ls-files", "-z")
    present = [name for name in listed.rstrip("\0").split("\0") if (SOURCE / name).exists()]
    if target.exists():
        shutil.rmtree(target)
    target.mkdir()
    run("cp", "-R", "--parents", f"--target-directory={target}", "--", *present, cwd=SOURCE)


def make_environment() -> str:
    """Return the Python of the virtual environment; it is made again after setup.py has changed.

    :raises CalledProcessError: pip fails
    """
    stamp, made_of = Path("/venv/made-of"), Path("/project/setup.py").read_text()
    if not stamp.exists() or stamp.read_text() != made_of:
        run("python3", "-m", "venv", "--clear", "/venv")
        pip = ["/venv/bin/pip", "install", "--quiet", "--use-pep517", "--editable"]
        run(*pip, "/project[test,docs]")
        stamp.write_text(made_of)
    return "/venv/bin/python"


def reap(command: list[str]) -> int:
    """Return the exit code of the command, and reap orphans meanwhile: this is process 1."""
    child = subprocess.Popen(command).pid
    while True:
        process, status = os.wait()
        if process == child:
            return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main())
