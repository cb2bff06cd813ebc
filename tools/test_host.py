"""Run the tests on another release of Debian: tools/test_host.py RELEASE [OPTIONS OF PYTEST].

The root folder is build/hosts/RELEASE, made by debootstrap from the mirror of this host, and used
again by the next run. It holds the packages of --packages, a virtual environment and a copy of the
tracked files. All tests except builds run there, in a chroot. Needs root.

The root of the chroot is not a mount point, as tests should meet that case, too. Mounts are in a
private mount namespace and processes in a PID namespace: neither outlives this program.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
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
STILL_NEEDED = ("dev", "proc", "sys", "usr")  # folders of the host
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
        copy_settings(root)
        mount_into(root)
        install(root, packages)
        copy_source(root / "project")
        python = make_environment(root)
        command = [python, "-m", "pytest", *SELECTION, *pytest]
        environment = ["env", "--unset=TMPDIR", "--chdir=/project"]
        return reap(in_root(root, *environment, *command))


def run(*command: str | Path, cwd: Path | None = None) -> str:
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=cwd)
    return done.stdout


def in_root(root: Path, *command: str | Path) -> list[str | Path]:
    return ["chroot", root, *command]


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


def mount_into(root: Path) -> None:
    """Mount the kernel's filesystems into the root, and unmount others in this namespace.

    Otherwise the namespace would keep filesystems of the host busy for as long as the tests run.

    :raises CalledProcessError: not permitted
    """
    run("mount", "-t", "proc", "proc", root / "proc")
    for name in ("sys", "dev"):
        run("mount", "--rbind", f"/{name}", root / name)
    run("mount", "-t", "tmpfs", "tmpfs", root / "run")
    (root / "run" / "lock").mkdir()  # /var/lock leads there: packages have files in it
    for line in reversed(Path("/proc/self/mountinfo").read_text().splitlines()):
        point = Path(re.sub(r"\\(\d{3})", lambda code: chr(int(code[1], 8)), line.split()[4]))
        kept = root in point.parents or point in root.parents
        if not kept and point.parts[1] not in STILL_NEEDED:
            subprocess.run(["umount", "--lazy", point], stderr=subprocess.DEVNULL)


def copy_settings(root: Path) -> None:
    """Copy the files by which apt and pip reach their servers from this host."""
    for name in SETTINGS:
        if Path(name).exists():
            (root / name[1:]).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(name, root / name[1:])


def install(root: Path, packages: set[str]) -> None:
    """Install what is not installed yet.

    :raises CalledProcessError: apt fails
    """
    query = ["dpkg-query", "-W", "-f=${Package} ${db:Status-Status}\n"]
    there = {line.split()[0] for line in run(*in_root(root, *query)).splitlines()
             if line.endswith(" installed")}  # fmt: skip
    if missing := sorted(packages - there):
        apt = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]
        run(*in_root(root, *apt, "update"))
        known = set(run(*in_root(root, "apt-cache", "pkgnames")).split())
        if unknown := [name for name in missing if name not in known]:
            print(f"{root.name} has no package {', '.join(unknown)}", file=sys.stderr)
        missing = [name for name in missing if name in known]
        command = ["install", "--yes", "--no-install-recommends", *missing]
        subprocess.run(in_root(root, *apt, *command), check=True, stdout=subprocess.DEVNULL)
        copy_settings(root)  # ca-certificates has replaced those of the host


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


def make_environment(root: Path) -> str:
    """Return the Python of the virtual environment; it is made again after setup.py has changed.

    :raises CalledProcessError: pip fails
    """
    made_of = hashlib.sha256((SOURCE / "setup.py").read_bytes()).hexdigest()
    stamp = root / "venv" / "made-of"
    if not stamp.exists() or stamp.read_text() != made_of:
        run(*in_root(root, "python3", "-m", "venv", "--clear", "/venv"))
        requirement = "/project[test,docs]"
        pip = ["/venv/bin/pip", "install", "--quiet", "--use-pep517", "--editable", requirement]
        run(*in_root(root, *pip))
        stamp.write_text(made_of)
    return "/venv/bin/python"


def reap(command: list[str | Path]) -> int:
    """Return the exit code of the command, and reap orphans meanwhile: this is process 1."""
    child = subprocess.Popen(command).pid
    while True:
        process, status = os.wait()
        if process == child:
            return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main())
