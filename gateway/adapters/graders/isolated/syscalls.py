"""The system calls that untrusted code may make, and their numbers.

Whatever is not listed is refused: no sockets, no programs, no processes, no mounts, no namespaces, no tracing,
no signals to others, no memory that the limits do not see (memfd, System V segments).
Numbers are those of Linux's ``asm/unistd_64.h`` and ``asm-generic/unistd.h``; they never change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Machine:
    """A processor architecture, as the kernel's filters of system calls know it."""

    audit: int
    """Its AUDIT_ARCH number."""
    clone: int
    clone3: int
    socketpair: int
    prlimit64: int
    pivot_root: int
    allowed: tuple[int, ...]
    foreign_bit: int = 0
    """Numbers from here on belong to another calling convention, and are refused."""


_X86_64: Final[Mapping[str, int]] = {
    "read": 0, "write": 1, "readv": 19, "writev": 20, "pread64": 17, "pwrite64": 18, "preadv": 295, "pwritev": 296,
    "open": 2, "openat": 257, "close": 3, "close_range": 436, "stat": 4, "fstat": 5, "lstat": 6, "newfstatat": 262,
    "statx": 332, "statfs": 137, "fstatfs": 138, "poll": 7, "ppoll": 271, "select": 23, "pselect6": 270,
    "epoll_create1": 291, "epoll_ctl": 233, "epoll_wait": 232, "epoll_pwait": 281, "eventfd2": 290,
    "timerfd_create": 283, "timerfd_settime": 286, "timerfd_gettime": 287, "lseek": 8, "mmap": 9, "mprotect": 10,
    "munmap": 11, "mremap": 25, "madvise": 28, "brk": 12, "rt_sigaction": 13, "rt_sigprocmask": 14,
    "rt_sigreturn": 15, "rt_sigpending": 127, "rt_sigtimedwait": 128, "rt_sigsuspend": 130, "sigaltstack": 131,
    "ioctl": 16, "access": 21, "faccessat": 269, "faccessat2": 439, "pipe": 22, "pipe2": 293, "dup": 32, "dup2": 33,
    "dup3": 292, "fcntl": 72, "flock": 73, "fsync": 74, "fdatasync": 75, "ftruncate": 77, "truncate": 76,
    "getdents64": 217, "getcwd": 79, "chdir": 80, "fchdir": 81, "mkdir": 83, "mkdirat": 258, "rmdir": 84,
    "unlink": 87, "unlinkat": 263, "rename": 82, "renameat": 264, "renameat2": 316, "link": 86, "linkat": 265,
    "symlink": 88, "symlinkat": 266, "readlink": 89, "readlinkat": 267, "chmod": 90, "fchmod": 91, "fchmodat": 268,
    "umask": 95, "utimensat": 280, "gettimeofday": 96, "time": 201, "clock_gettime": 228, "clock_getres": 229,
    "nanosleep": 35, "clock_nanosleep": 230, "times": 100, "getrusage": 98, "sysinfo": 99, "uname": 63,
    "getpid": 39, "getppid": 110, "gettid": 186, "getuid": 102, "geteuid": 107, "getgid": 104, "getegid": 108,
    "getgroups": 115, "getresuid": 118, "getresgid": 120, "getpgrp": 111, "getpgid": 121, "getsid": 124,
    "getpriority": 140, "getrandom": 318, "futex": 202, "futex_waitv": 449, "set_robust_list": 273,
    "get_robust_list": 274, "rseq": 334, "sched_yield": 24, "sched_getaffinity": 204, "sched_getparam": 143,
    "sched_getscheduler": 145, "sched_get_priority_max": 146, "sched_get_priority_min": 147, "getcpu": 309,
    "exit": 60, "exit_group": 231, "restart_syscall": 219, "tgkill": 234, "tkill": 200, "wait4": 61, "waitid": 247,
    "arch_prctl": 158, "set_tid_address": 218, "membarrier": 324, "sendto": 44, "recvfrom": 45, "sendmsg": 46,
    "recvmsg": 47, "shutdown": 48, "getsockopt": 55, "setsockopt": 54, "getsockname": 51, "getpeername": 52,
    "setitimer": 38, "getitimer": 36, "alarm": 37, "pause": 34, "timer_create": 222, "timer_settime": 223,
    "timer_gettime": 224, "timer_getoverrun": 225, "timer_delete": 226, "copy_file_range": 326, "sendfile": 40,
    "fadvise64": 221, "fallocate": 285, "getrlimit": 97,
}  # fmt: skip

_ARM64: Final[Mapping[str, int]] = {
    "read": 63, "write": 64, "readv": 65, "writev": 66, "pread64": 67, "pwrite64": 68, "preadv": 69, "pwritev": 70,
    "openat": 56, "close": 57, "close_range": 436, "fstat": 80, "newfstatat": 79, "statx": 291, "statfs": 43,
    "fstatfs": 44, "ppoll": 73, "pselect6": 72, "epoll_create1": 20, "epoll_ctl": 21, "epoll_pwait": 22,
    "eventfd2": 19, "timerfd_create": 85, "timerfd_settime": 86, "timerfd_gettime": 87, "lseek": 62, "mmap": 222,
    "mprotect": 226, "munmap": 215, "mremap": 216, "madvise": 233, "brk": 214, "rt_sigaction": 134,
    "rt_sigprocmask": 135, "rt_sigreturn": 139, "rt_sigpending": 136, "rt_sigtimedwait": 137, "rt_sigsuspend": 133,
    "sigaltstack": 132, "ioctl": 29, "faccessat": 48, "faccessat2": 439, "pipe2": 59, "dup": 23, "dup3": 24,
    "fcntl": 25, "flock": 32, "fsync": 82, "fdatasync": 83, "ftruncate": 46, "truncate": 45, "getdents64": 61,
    "getcwd": 17, "chdir": 49, "fchdir": 50, "mkdirat": 34, "unlinkat": 35, "renameat": 38, "renameat2": 276,
    "linkat": 37, "symlinkat": 36, "readlinkat": 78, "fchmod": 52, "fchmodat": 53, "umask": 166, "utimensat": 88,
    "gettimeofday": 169, "clock_gettime": 113, "clock_getres": 114, "nanosleep": 101, "clock_nanosleep": 115,
    "times": 153, "getrusage": 165, "sysinfo": 179, "uname": 160, "getpid": 172, "getppid": 173, "gettid": 178,
    "getuid": 174, "geteuid": 175, "getgid": 176, "getegid": 177, "getgroups": 158, "getresuid": 148,
    "getresgid": 150, "getpgid": 155, "getsid": 156, "getpriority": 141, "getrandom": 278, "futex": 98,
    "futex_waitv": 449, "set_robust_list": 99, "get_robust_list": 100, "rseq": 293, "sched_yield": 124,
    "sched_getaffinity": 123, "sched_getparam": 121, "sched_getscheduler": 120, "sched_get_priority_max": 125,
    "sched_get_priority_min": 126, "getcpu": 168, "exit": 93, "exit_group": 94, "restart_syscall": 128,
    "tgkill": 131, "tkill": 130, "wait4": 260, "waitid": 95, "set_tid_address": 96, "membarrier": 283,
    "sendto": 206, "recvfrom": 207, "sendmsg": 211, "recvmsg": 212, "shutdown": 210, "getsockopt": 209,
    "setsockopt": 208, "getsockname": 204, "getpeername": 205, "setitimer": 103, "getitimer": 102,
    "timer_create": 107, "timer_settime": 110, "timer_gettime": 108, "timer_getoverrun": 109, "timer_delete": 111,
    "copy_file_range": 285, "sendfile": 71, "fadvise64": 223, "fallocate": 47, "getrlimit": 163,
}  # fmt: skip

MACHINES: Final[Mapping[str, Machine]] = {
    "x86_64": Machine(
        audit=0xC000003E,
        clone=56,
        clone3=435,
        socketpair=53,
        prlimit64=302,
        pivot_root=155,
        allowed=tuple(sorted(_X86_64.values())),
        foreign_bit=0x40000000,
    ),
    "aarch64": Machine(
        audit=0xC00000B7,
        clone=220,
        clone3=435,
        socketpair=199,
        prlimit64=261,
        pivot_root=41,
        allowed=tuple(sorted(_ARM64.values())),
    ),
}
"""By what ``os.uname().machine`` says."""
