"""Calls to the Linux kernel that Python has no names for; each failure says which step was refused, and why."""

from __future__ import annotations

import ctypes
import os
from typing import Final

from gateway.adapters.graders.isolated.syscalls import MACHINES

CLONE_NEWNS: Final = 0x00020000
CLONE_NEWUTS: Final = 0x04000000
CLONE_NEWIPC: Final = 0x08000000
CLONE_NEWUSER: Final = 0x10000000
CLONE_NEWPID: Final = 0x20000000
CLONE_NEWNET: Final = 0x40000000

MS_NOSUID: Final = 2
MS_NODEV: Final = 4
MS_NOEXEC: Final = 8
MS_BIND: Final = 0x1000
MS_REC: Final = 0x4000
MS_PRIVATE: Final = 0x40000

_MNT_DETACH: Final = 2
_MOUNT_SETATTR: Final = 442
"""The number of mount_setattr on every architecture; Linux 5.12 brought it."""
_AT_FDCWD: Final = -100
_AT_RECURSIVE: Final = 0x8000
_READ_ONLY: Final = 0x1 | 0x2 | 0x4
"""MOUNT_ATTR_RDONLY, _NOSUID and _NODEV."""

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_SET_NO_NEW_PRIVS: Final = 38
_CAPABILITY_VERSION: Final = 0x20080522

_libc: Final = ctypes.CDLL(None, use_errno=True)


class Refused(Exception):
    """The kernel refused a step."""

    def __init__(self, step: str, number: int) -> None:
        super().__init__(f"{step}: {os.strerror(number)}")


def _checked(step: str, result: int) -> None:
    if result != 0:
        raise Refused(step, ctypes.get_errno())


def unshare(flags: int, step: str) -> None:
    """Leave the namespaces that the flags name, for new ones."""
    _checked(step, _libc.unshare(flags))


def mount(source: str, target: str, kind: str | None, flags: int, options: str = "") -> None:
    """Mount something. The step is told without the paths, which are the machine's own business."""
    kind_bytes = None if kind is None else kind.encode()
    flags_long = ctypes.c_ulong(flags)
    _checked(
        "mounting in a namespace of its own",
        _libc.mount(os.fsencode(source), os.fsencode(target), kind_bytes, flags_long, options.encode()),
    )


def set_read_only(path: str, *, is_deep: bool) -> None:
    """Make a mount read-only, without devices and set-user-id programs; with those below it if ``is_deep``."""
    attributes = (ctypes.c_uint64 * 4)(_READ_ONLY, 0, 0, 0)
    result = _libc.syscall(
        ctypes.c_long(_MOUNT_SETATTR), ctypes.c_int(_AT_FDCWD), ctypes.c_char_p(os.fsencode(path)),
        ctypes.c_uint(_AT_RECURSIVE if is_deep else 0), ctypes.byref(attributes), ctypes.c_size_t(32),
    )  # fmt: skip
    _checked("making the file system read-only (Linux 5.12 or newer)", int(result))


def change_root(folder: str) -> None:
    """Make a folder the root, and let go of all that is outside of it."""
    os.chdir(folder)
    number = MACHINES[os.uname().machine].pivot_root
    here = ctypes.c_char_p(b".")
    _checked("pivot_root", int(_libc.syscall(ctypes.c_long(number), here, here)))
    _checked("letting go of the old root", _libc.umount2(b".", _MNT_DETACH))
    os.chdir("/")


def drop_capabilities() -> None:
    """Give up every capability, for good: no program that is started gains one."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1, "no_new_privs")
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    _checked("dropping capabilities", _libc.capset(ctypes.byref(header), ctypes.byref((ctypes.c_uint32 * 6)())))


def die_with_parent(signal: int) -> None:
    """Have this process killed when its parent ends."""
    _prctl(_PR_SET_PDEATHSIG, signal, "PR_SET_PDEATHSIG")


def set_undumpable() -> None:
    """Let no other process of this user look into this one."""
    _prctl(_PR_SET_DUMPABLE, 0, "PR_SET_DUMPABLE")


def _prctl(option: int, value: int, step: str) -> None:
    zero = ctypes.c_ulong(0)
    _checked(step, _libc.prctl(ctypes.c_int(option), ctypes.c_ulong(value), zero, zero, zero))
