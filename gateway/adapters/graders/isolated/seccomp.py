"""A filter of system calls, after which a process can compute, and hardly anything else.

It is put together here as a classic BPF program, since no library is needed for that.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterator
from typing import Final, NamedTuple

from gateway.adapters.graders.isolated.kernel import Refused
from gateway.adapters.graders.isolated.syscalls import MACHINES, Machine

_LOAD: Final = 0x20
_AND: Final = 0x54
_IF_EQUAL: Final = 0x15
_IF_AT_LEAST: Final = 0x35
_RETURN: Final = 0x06

_KILL: Final = 0x80000000
_REFUSE: Final = 0x00050000
_ALLOW: Final = 0x7FFF0000

_NUMBER_AT: Final = 0
_ARCHITECTURE_AT: Final = 4
_FIRST_ARGUMENT_AT: Final = 16
"""The lower half of the first argument, as both architectures are little-endian."""

_CLONE_THREAD: Final = 0x00010000
_ANY_NAMESPACE: Final = 0x7E020080
_AF_UNIX: Final = 1

_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_SET_SECCOMP: Final = 22
_SECCOMP_MODE_FILTER: Final = 2


class Instruction(NamedTuple):
    """One instruction of the program: on a comparison, how many of the next to skip if it holds, and if not."""

    code: int
    value: int
    if_true: int = 0
    if_false: int = 0


class _Filter(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint16), ("jt", ctypes.c_uint8), ("jf", ctypes.c_uint8), ("k", ctypes.c_uint32))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("filters", ctypes.POINTER(_Filter)))


def program(machine: Machine) -> list[Instruction]:
    """The filter for an architecture: what is listed may be called, all else gives EPERM."""
    return list(_program(machine))


def _program(machine: Machine) -> Iterator[Instruction]:
    yield Instruction(_LOAD, _ARCHITECTURE_AT)
    yield Instruction(_IF_EQUAL, machine.audit, if_true=1)
    yield Instruction(_RETURN, _KILL)
    yield Instruction(_LOAD, _NUMBER_AT)
    if machine.foreign_bit:
        yield Instruction(_IF_AT_LEAST, machine.foreign_bit, if_false=1)
        yield Instruction(_RETURN, _KILL)
    # A filter cannot look into the struct that clone3 takes; told that there is none, libc calls clone.
    yield Instruction(_IF_EQUAL, machine.clone3, if_false=1)
    yield Instruction(_RETURN, _REFUSE | errno.ENOSYS)
    yield from _if_argument(machine.clone, _CLONE_THREAD, of=_CLONE_THREAD | _ANY_NAMESPACE)  # threads, no processes
    yield from _if_argument(machine.socketpair, _AF_UNIX)  # event loops wake themselves by one
    yield from _if_argument(machine.prlimit64, 0)  # its own limits alone
    for number in machine.allowed:
        yield Instruction(_IF_EQUAL, number, if_false=1)
        yield Instruction(_RETURN, _ALLOW)
    yield Instruction(_RETURN, _REFUSE | errno.EPERM)


def _if_argument(number: int, value: int, of: int = 0xFFFFFFFF) -> Iterator[Instruction]:
    """Allow a call only if its first argument, as far as the mask shows it, is this value."""
    yield Instruction(_IF_EQUAL, number, if_false=5)
    yield Instruction(_LOAD, _FIRST_ARGUMENT_AT)
    yield Instruction(_AND, of)
    yield Instruction(_IF_EQUAL, value, if_false=1)
    yield Instruction(_RETURN, _ALLOW)
    yield Instruction(_RETURN, _REFUSE | errno.EPERM)


def is_known() -> bool:
    """Whether there is a filter for this machine."""
    return os.uname().sysname == "Linux" and os.uname().machine in MACHINES


def install() -> None:
    """Confine this process from here on; there is no way back. It must have a single thread yet."""
    machine = MACHINES.get(os.uname().machine)
    if machine is None:
        raise Refused("a filter of system calls for this processor", errno.ENOSYS)
    instructions = program(machine)
    filters = (_Filter * len(instructions))(
        *(_Filter(each.code, each.if_true, each.if_false, each.value) for each in instructions)
    )
    whole = _Program(len(instructions), filters)
    libc = ctypes.CDLL(None, use_errno=True)
    zero = ctypes.c_ulong(0)
    libc.prctl(ctypes.c_int(_PR_SET_NO_NEW_PRIVS), ctypes.c_ulong(1), zero, zero, zero)
    mode = ctypes.c_ulong(_SECCOMP_MODE_FILTER)
    if libc.prctl(ctypes.c_int(_PR_SET_SECCOMP), mode, ctypes.byref(whole), zero, zero) != 0:
        raise Refused("seccomp", ctypes.get_errno())
