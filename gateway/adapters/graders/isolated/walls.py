"""Walls around a process: namespaces without a network, a root folder with nothing but Python, no privileges.

:func:`part` leaves the machine's namespaces; the next child of that process is the first of new ones, and
calls :func:`enclose`. Either says by :class:`Refused` what this machine does not allow.
"""

from __future__ import annotations

import os
import signal
import sys
import sysconfig
from pathlib import Path
from typing import Final

from gateway.adapters.graders.isolated import kernel

WORK: Final = "/answer"
"""The only folder that can be written to, in memory, and empty at first."""

_SPACES: Final = kernel.CLONE_NEWNS | kernel.CLONE_NEWNET | kernel.CLONE_NEWPID | kernel.CLONE_NEWIPC
_NOBODY: Final = 65534
_FIRST_OWN_ID: Final = 1_000_000_000
"""Users with such ids do not exist; each run has its own, so that no limit per user is shared."""

_NEW_ROOT: Final = "/proc"
"""Covered by the new root until that is the root: a folder that is on every machine and holds none of our files."""

_ROOT_OPTIONS: Final = "size=1m,nr_inodes=2k,mode=755"
_WORK_INODES: Final = 512
_LIBRARIES: Final = ("/lib", "/lib64", "/usr/lib", "/usr/lib64")
_PACKAGES: Final = ("site-packages", "dist-packages")


def part() -> int | None:
    """Leave the machine's namespaces; the user to become then, None where there is no need to change it."""
    user, group = os.geteuid(), os.getegid()
    if user == 0:
        try:
            kernel.unshare(_SPACES | kernel.CLONE_NEWUTS, "namespaces")
        except kernel.Refused:
            pass  # root in a container has often no such right, and may have that of any user
        else:
            return _FIRST_OWN_ID + os.getpid()
    kernel.unshare(_SPACES | kernel.CLONE_NEWUTS | kernel.CLONE_NEWUSER, "namespaces of users, network and mounts")
    try:
        Path("/proc/self/setgroups").write_text("deny", "ascii")
        Path("/proc/self/uid_map").write_text(f"{_NOBODY} {user} 1", "ascii")
        Path("/proc/self/gid_map").write_text(f"{_NOBODY} {group} 1", "ascii")
    except OSError as fault:
        raise kernel.Refused("a namespace of users", fault.errno or 0) from fault
    return None


def enclose(*, own: int | None, work_bytes: int) -> None:
    """Change to the new root, and give up all rights."""
    try:
        _build(work_bytes)
    except OSError as fault:
        raise kernel.Refused("putting a root folder together", fault.errno or 0) from fault
    if own is not None:
        os.setgroups([])
        os.setresgid(own, own, own)
        os.setresuid(own, own, own)
    kernel.drop_capabilities()
    kernel.set_undumpable()
    # A change of user takes this back, so it comes after.
    kernel.die_with_parent(signal.SIGKILL)


def _build(work_bytes: int) -> None:
    kernel.mount("none", "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
    _mount_memory(_NEW_ROOT, _ROOT_OPTIONS)
    for folder in _folders():
        _show(folder)
    for name in _LIBRARIES:
        if os.path.islink(name):
            os.symlink(os.path.relpath(os.path.realpath(name), "/"), _NEW_ROOT + name)
    work = _NEW_ROOT + WORK
    os.mkdir(work)
    _mount_memory(work, f"size={work_bytes},nr_inodes={_WORK_INODES},mode=777")
    kernel.set_read_only(_NEW_ROOT, is_deep=False)
    kernel.change_root(_NEW_ROOT)
    os.chdir(WORK)


def standard_library() -> list[str]:
    """The folders of Python's own modules."""
    # Of an environment's two folders one would be its own, where packages are.
    own = {"base": sys.base_prefix, "installed_base": sys.base_prefix, "platbase": sys.base_exec_prefix}
    return sorted({os.path.realpath(sysconfig.get_path(name, vars=own)) for name in ("stdlib", "platstdlib")})


def _folders() -> list[str]:
    """What is shown: the standard library, and the shared libraries that its modules need; none inside another."""
    libraries = [os.path.realpath(name) for name in _LIBRARIES if os.path.isdir(name)]
    folders = sorted({*standard_library(), *libraries})
    return [each for each in folders if not any(each.startswith(f"{other}/") for other in folders)]


def _show(folder: str) -> None:
    """Show a folder of the machine, read-only; packages that are installed in it, with an empty one over them."""
    target = _NEW_ROOT + folder
    os.makedirs(target, exist_ok=True)
    kernel.mount(folder, target, None, kernel.MS_BIND | kernel.MS_REC)
    for library in standard_library():
        for name in _PACKAGES:
            packages = f"{_NEW_ROOT}{library}/{name}"
            if library.startswith(folder) and os.path.isdir(packages):
                _mount_memory(packages, "size=4k,nr_inodes=1,mode=755")
    kernel.set_read_only(target, is_deep=True)


def _mount_memory(target: str, options: str) -> None:
    kernel.mount("tmpfs", target, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC, options)
