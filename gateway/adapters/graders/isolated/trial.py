"""Runs an answer's Python code against tests, walled off; started anew for each answer.

Reads one JSON document, ``{"code", "tests", "limits", "parent"}``, and writes one: how each test ended, and what
those that are programs wrote, as what they should have written never comes in here. Where the machine has
no walls it writes ``{"missing": "…"}`` instead, and has run nothing.

Three processes: the one that was started leaves the machine's namespaces; its child, the first of new ones,
walls itself in, watches and tells; and for each test a child of that, behind limits and a filter of system
calls, runs the code and then the test. When one ends, those below it do as well.
"""

from __future__ import annotations

import contextlib
import importlib.machinery
import json
import os
import resource
import secrets
import select
import shutil
import signal
import sys
import threading
import time
import types
from typing import Any, Final, NoReturn

from gateway.adapters.graders.isolated import kernel, seccomp, walls

_WORK_BYTES: Final = 16 * 1024 * 1024
_FILES: Final = 64
_THREADS: Final = 32
_STACK_BYTES: Final = 8 * 1024 * 1024
_OUT_OF_MEMORY: Final = 3
_FAILED: Final = 1
_TOKEN_BYTES: Final = 16
_CHILD: Final = 0
"""What fork gives to the child."""

_PASSED_TO: Final = 3
"""Where a child writes its token, which says that it came to the end."""

_APART: Final = 100
"""From here on file numbers are free for a moment, while the first ones are put in their order."""


def main() -> None:
    """Read what to run, run it, tell how it ended."""
    job = json.loads(sys.stdin.buffer.read())
    kernel.die_with_parent(signal.SIGKILL)
    if os.getppid() != job["parent"]:
        return  # the gateway died before that was armed
    try:
        own = walls.part()
    except kernel.Refused as fault:
        _tell({"missing": str(fault)})
        return
    reading, writing = os.pipe()
    child = os.fork()
    if child == _CHILD:
        os.close(writing)
        _watch(job, own, reading)
    os.close(reading)
    os.waitpid(child, 0)


def _tell(said: dict[str, Any]) -> None:
    sys.stdout.buffer.write(json.dumps(said).encode() + b"\n")
    sys.stdout.buffer.flush()


def _watch(job: dict[str, Any], own: int | None, life: int) -> NoReturn:
    """The first process of the new namespaces: no signal from inside reaches it, and all die with it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        walls.enclose(own=own, work_bytes=_WORK_BYTES)
    except kernel.Refused as fault:
        _tell({"missing": str(fault)})
        os._exit(_FAILED)
    if select.select([life], [], [], 0)[0]:
        os._exit(_FAILED)  # who started us died before we were to die with them
    _forget_packages()
    limits = job["limits"]
    ends = time.monotonic() + limits["seconds"]
    endings: list[dict[str, Any]] = []
    for test in job["tests"]:
        ending = _try(job["code"], test, limits, ends)
        endings.append(ending)
        if ending["ended"] != "passed" or not _is_swept():
            break
    _tell({"endings": endings})
    os._exit(0)


def _forget_packages() -> None:
    """Leave nothing importable but the standard library, whatever Python was installed with."""
    sys.path[:] = [each for folder in walls.standard_library() for each in (folder, f"{folder}/lib-dynload")]
    sys.path_importer_cache.clear()
    importers = (
        importlib.machinery.BuiltinImporter,
        importlib.machinery.FrozenImporter,
        importlib.machinery.PathFinder,
    )
    sys.meta_path[:] = list(importers)


def _is_swept() -> bool:
    """Clear the work folder, so that a test finds nothing of the one before."""
    try:
        with os.scandir(walls.WORK) as entries:
            for entry in list(entries):
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path)
                else:
                    os.unlink(entry.path)
    except (OSError, RecursionError):
        return False
    return True


def _try(code: str, test: str | dict[str, str], limits: dict[str, Any], ends: float) -> dict[str, Any]:
    """One test, in a process of its own."""
    text = test["stdin"] if isinstance(test, dict) else ""
    given, output, aside = _file(text.encode("utf-8", "surrogatepass")), _file(b""), _file(b"")
    token = secrets.token_bytes(_TOKEN_BYTES)
    reading, writing = os.pipe()
    child = os.fork()
    if child == _CHILD:
        _run(code, test, limits, (given, output, aside, writing), token)
    os.close(writing)
    status = _wait(child, ends)
    passed = _read_once(reading) == token
    for number in (reading, given, aside):
        os.close(number)
    with os.fdopen(output, "rb") as written:
        written.seek(0)
        shown = written.read(limits["output_bytes"] + 1)
    if status is None:
        return {"ended": "time"}
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL):
        return {"ended": "time"}
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) == _OUT_OF_MEMORY:
        return {"ended": "memory"}
    if len(shown) > limits["output_bytes"]:
        return {"ended": "output"}
    if status != 0 or not passed:
        return {"ended": "failed"}
    return {"ended": "passed", "output": shown.decode("utf-8", "replace") if isinstance(test, dict) else ""}


def _file(content: bytes) -> int:
    """An open file with some content and without a name."""
    number = os.open(walls.WORK, os.O_TMPFILE | os.O_RDWR, 0o600)
    os.write(number, content)
    os.lseek(number, 0, os.SEEK_SET)
    return number


def _wait(child: int, ends: float) -> int | None:
    """How a child ended; None if its time was over and it was killed."""
    watched = os.pidfd_open(child)
    ready, _, _ = select.select([watched], [], [], max(0.0, ends - time.monotonic()))
    os.close(watched)
    if not ready:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return status if ready else None


def _read_once(number: int) -> bytes:
    return os.read(number, _TOKEN_BYTES + 1) if select.select([number], [], [], 0)[0] else b""


def _run(
    code: str, test: str | dict[str, str], limits: dict[str, Any], ends: tuple[int, int, int, int], token: bytes
) -> NoReturn:
    """In the child: close the door behind us, and run the code and its test."""
    status = _FAILED
    try:
        _confine(limits, ends)
        _execute(code, test)
        sys.stdout.flush()
        os.write(_PASSED_TO, token)
        status = 0
    except MemoryError:
        status = _OUT_OF_MEMORY
    except BaseException:  # noqa: BLE001 - whatever the code raises is a failed test, SystemExit included
        status = _FAILED
    finally:
        os._exit(status)


def _confine(limits: dict[str, Any], ends: tuple[int, int, int, int]) -> None:
    """Keep nothing open but input, output, what is said aside, and the token's way; and set every limit."""
    for number, end in enumerate(ends):
        os.dup2(end, _APART + number)
    for number in range(len(ends)):
        os.dup2(_APART + number, number)
    os.closerange(len(ends), os.sysconf("SC_OPEN_MAX"))
    seconds = int(limits["seconds"]) + 1
    for kind, most in (
        (resource.RLIMIT_AS, limits["memory_bytes"]),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, max(limits["output_bytes"] + 1, limits["file_bytes"])),
        (resource.RLIMIT_NOFILE, _FILES),
        (resource.RLIMIT_NPROC, _THREADS),
        (resource.RLIMIT_STACK, _STACK_BYTES),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
    ):
        resource.setrlimit(kind, (most, most))
    os.chdir(walls.WORK)
    os.environ.clear()
    seccomp.install()


def _execute(code: str, test: str | dict[str, str]) -> None:
    """The code, and then the test in its names; a program is run as one, and its leaving with 0 is its end."""
    is_program = isinstance(test, dict)
    module = types.ModuleType("__main__" if is_program else "answer")
    sys.modules[module.__name__] = module
    sys.argv = ["answer.py"]
    for name in [each for each in sys.modules if each.partition(".")[0] == "gateway"]:
        del sys.modules[name]
    with contextlib.suppress(SystemExit) if not is_program else _leaving_with_nought():
        exec(compile(code, "answer.py", "exec"), module.__dict__)  # noqa: S102 - what this process is for
    if not isinstance(test, dict):
        exec(compile(test, "test.py", "exec"), module.__dict__)  # noqa: S102
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()


class _leaving_with_nought(contextlib.AbstractContextManager[None]):  # noqa: N801 - reads as what it does
    """Takes SystemExit for the end of a program that went well, if it leaves with 0 or nothing."""

    def __exit__(self, kind: object, fault: BaseException | None, trace: object) -> bool:
        return isinstance(fault, SystemExit) and fault.code in (None, 0)


if __name__ == "__main__":
    main()
