"""Code behind walls: what it may do, what ends it, and that it does not get out, however it tries."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from gateway.adapters.graders.sandbox import LONGEST_OUTPUT, Ending, Sandbox
from gateway.domain.check import Assertions, Program, Test
from gateway.errors import Unavailable
from tests.processes import leaders, members, until

AMPLE_S = 60.0
MEMORY = 256 * 1024 * 1024
PASSES = Assertions("pass")
WHOLE_RUN = 3
"""Processes: who was started, the first behind the walls, and the one that runs the code."""


@pytest.fixture(scope="module")
def sandbox() -> Sandbox:
    """Walls as they are put up in production, with less time."""
    return Sandbox(most=2, seconds=20.0, memory_bytes=MEMORY)


@pytest.fixture(scope="module")
def hasty() -> Sandbox:
    """The same, with a second for all tests."""
    return Sandbox(most=1, seconds=1.0, memory_bytes=MEMORY)


async def _run(sandbox: Sandbox, code: str, *tests: Test) -> Ending:
    return await sandbox.run(code, tests or (PASSES,), deadline_s=AMPLE_S)


async def _shown(sandbox: Sandbox, expression: str) -> bool:
    """Whether an expression is true behind the walls."""
    code = f"import os, sys\nprint(bool({expression}))"
    ending = await _run(sandbox, code, Program("", "True"))
    assert ending.ended in {"passed", "failed"}
    return ending.passed == 1


async def test_this_machine_has_walls(sandbox: Sandbox) -> None:
    """The machine that runs these tests can isolate code; what it lacks, if it does, is in the message."""
    assert await sandbox.missing() is None


async def test_assertions_run_in_the_names_of_the_code(sandbox: Sandbox) -> None:
    """A test that raises fails, one that ends passes, and the first that fails is the last."""
    code = "def double(n):\n    return 2 * n"
    good, bad = Assertions("assert double(2) == 4"), Assertions("assert double(2) == 5")
    assert await _run(sandbox, code, good, good) == Ending(2, "passed")
    assert await _run(sandbox, code, good, bad, good) == Ending(1, "failed")


async def test_a_program_is_judged_by_what_it_writes(sandbox: Sandbox) -> None:
    """Output is compared line by line, but for blanks at the ends; what is said aside is none of it."""
    code = "import sys\nprint('debug', file=sys.stderr)\nfor line in sys.stdin: print(int(line) + 1, ' ')"
    assert await _run(sandbox, code, Program("1\n2\n", "2\n3")) == Ending(1, "passed")
    assert await _run(sandbox, code, Program("1\n2\n", "2 3")) == Ending(0, "failed")
    assert await _run(sandbox, code, Program("1\n", "2\n"), Program("5\n", "5\n")) == Ending(1, "failed")


async def test_a_program_is_the_main_module(sandbox: Sandbox) -> None:
    """What stands under the usual condition runs for a program, and not for assertions."""
    code = "ran = False\nif __name__ == '__main__':\n    ran = True\n    print('ran')"
    assert await _run(sandbox, code, Program("", "ran")) == Ending(1, "passed")
    assert await _run(sandbox, code, Assertions("assert not ran")) == Ending(1, "passed")


@pytest.mark.parametrize(
    ("code", "passes"),
    [
        ("print('x'); raise SystemExit", True),
        ("print('x'); raise SystemExit(0)", True),
        ("print('x'); raise SystemExit(1)", False),
        ("print('x'); raise SystemExit('failed')", False),
        ("print('x'); 1 / 0", False),
        ("print('x'", False),
        ("import os; os.write(1, b'x'); os._exit(0)", False),
        ("import threading; threading.Thread(target=lambda: print('x')).start()", True),
    ],
)
async def test_how_a_program_may_end(sandbox: Sandbox, code: str, passes: bool) -> None:
    """A program may leave with 0, after its threads; anything else fails, whatever it wrote."""
    assert (await _run(sandbox, code, Program("", "x"))).passed == passes


@pytest.mark.parametrize("code", ["import os; os._exit(0)", "raise SystemExit(0)", "x = ("])
async def test_leaving_early_passes_no_assertion(sandbox: Sandbox, code: str) -> None:
    """Code that ends the process before its test, or is none, has not passed."""
    assert await _run(sandbox, code, Assertions("assert answer == 42")) == Ending(0, "failed")


async def test_a_test_finds_nothing_of_the_one_before(sandbox: Sandbox) -> None:
    """Every test has the folder, the module and the process to itself."""
    code = "import os\nprint(os.listdir('.'))\nos.makedirs('a/b')\nopen('a/b/left', 'w')\nos.symlink('/', 'link')"
    assert await _run(sandbox, code, *[Program("", "[]")] * 3) == Ending(3, "passed")


async def test_the_usual_modules_work(sandbox: Sandbox) -> None:
    """Event loops, threads, native modules and temporary files are there."""
    code = (
        "import asyncio, bz2, ctypes, decimal, hashlib, json, lzma, random, re, sqlite3, tempfile, zoneinfo\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "asyncio.run(asyncio.sleep(0))\n"
        "with ThreadPoolExecutor(4) as pool: total = sum(pool.map(abs, range(-9, 0)))\n"
        "with tempfile.NamedTemporaryFile() as file: file.write(b'x' * 1000)\n"
        "print(total, hashlib.sha256(b'').hexdigest()[:4], 0 <= random.random() < 1)"
    )
    assert await _run(sandbox, code, Program("", "45 e3b0 True")) == Ending(1, "passed")


OUTSIDE = (
    "import socket; socket.socket()",
    "import socket; socket.create_connection(('127.0.0.1', 22), 1)",
    "import socket; socket.socket(socket.AF_UNIX)",
    "import urllib.request; urllib.request.urlopen('http://127.0.0.1:1/', timeout=1)",
    "import os; os.fork()",
    "import os; os.posix_spawn('/bin/true', ['true'], {})",
    "import subprocess; subprocess.run(['/bin/sh', '-c', 'true'])",
    "import multiprocessing; multiprocessing.Process(target=print).start()",
    "import os; os.execv('/bin/true', ['true'])",
    "import os, sys; os.execv(sys.executable, ['python'])",
    "import os; os.kill(1, 9)",
    "import os; os.kill(os.getppid(), 9)",
    "import os; os.killpg(0, 9)",
    "import os; os.setuid(0)",
    "import os; os.chroot('.')",
    "import os; os.memfd_create('x')",
    "import resource; resource.setrlimit(resource.RLIMIT_AS, (-1, -1))",
    "import resource; resource.prlimit(1, resource.RLIMIT_CPU, (0, 0))",
    "open('/proc/1/environ').read()",
    "open('/proc/self/environ').read()",
    "open('/proc/self/mem', 'r+b')",
    "open('/etc/passwd').read()",
    "open('/etc/hostname').read()",
    "import os; os.listdir('/home')",
    "import os; os.listdir('/tmp')",
    "import os; os.listdir('/sys')",
    "import os; os.listdir('/dev')",
    "open('/new', 'w')",
    "open('/usr/lib/new', 'w')",
    "import os; open(os.__file__, 'a')",
    "import os; os.mkdir('/answer/../new')",
    "import os; os.mknod('/answer/device', 0o60600, os.makedev(254, 0))",
    "import numpy",
    "import gateway",
    "import pip",
)


async def test_what_is_outside_cannot_be_reached(sandbox: Sandbox) -> None:
    """Network, processes, programs, other users, other folders and other packages are refused by an exception."""
    code = "try: exec(input())\nexcept (OSError, ImportError, ValueError): print('refused')"
    ending = await _run(sandbox, code, *(Program(attempt, "refused") for attempt in OUTSIDE))
    assert ending == Ending(len(OUTSIDE), "passed"), OUTSIDE[ending.passed]


KERNEL = (
    "unshare(0x10000000)",
    "mount(0, b'/answer', b'tmpfs', 0, 0)",
    "ptrace(16, 1, 0, 0)",
    "setns(3, 0)",
    "chroot(b'.')",
    "shmget(0, 4096, 0o600)",
    "syscall(425, 1, 0)",  # io_uring_setup
    "syscall(435, 0, 0)",  # clone3
    "syscall(442, 0, b'.', 0, 0, 0)",  # mount_setattr
)


async def test_the_kernel_refuses_what_code_has_no_business_with(sandbox: Sandbox) -> None:
    """Namespaces, mounts, tracing, io_uring and shared segments fail also without Python in between."""
    code = (
        "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"
        "print(eval('libc.' + input()) == -1 and ctypes.get_errno() in (1, 38))"
    )
    ending = await _run(sandbox, code, *(Program(call, "True") for call in KERNEL))
    assert ending == Ending(len(KERNEL), "passed"), KERNEL[ending.passed]


async def test_the_wrong_calling_convention_is_deadly(sandbox: Sandbox) -> None:
    """A call by numbers that the filter does not know as its own ends the process."""
    code = "import ctypes\nctypes.CDLL(None).syscall(0x40000000 + 39)\nprint('alive')"
    assert (await _run(sandbox, code, Program("", "alive"))).passed == 0


async def test_neither_environment_nor_arguments_show(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of the gateway's process, which may be a secret, is visible."""
    monkeypatch.setenv("TOLD_TO_NOBODY", "s3cret-value")
    assert await _shown(sandbox, "not os.environ and not os.environb")
    assert await _shown(sandbox, "sys.argv == ['answer.py']")
    assert await _shown(
        sandbox, "not any(''.join(['s3cret-', 'value']) in str(each) for each in __import__('gc').get_objects())"
    )


async def test_what_a_program_should_write_is_not_in_its_reach(sandbox: Sandbox) -> None:
    """The truth stays with the gateway: the process that runs the code never gets it."""
    code = (
        "import gc\nprint(any('the-' + 'truth' in repr(each) for each in gc.get_objects() if isinstance(each, dict)))"
    )
    assert await _run(sandbox, code, Program("", "False"), Program("", "the-truth")) == Ending(1, "failed")


async def test_it_is_nobody_in_a_small_world(sandbox: Sandbox) -> None:
    """The user has no name, sees two processes' ids at most, and can write to one folder."""
    assert await _shown(sandbox, f"os.getuid() not in (0, {os.getuid()}) or os.getuid() == 65534")
    assert await _shown(sandbox, "os.getpid() < 10 and os.getppid() == 1")
    assert await _shown(sandbox, "os.getcwd() == '/answer' and not os.listdir('.')")
    assert await _shown(sandbox, "set(os.listdir('/usr')) <= {'lib', 'lib64', 'local'}")


async def test_all_but_one_folder_is_read_only(sandbox: Sandbox) -> None:
    """The kernel says so, whoever owns the files; and packages that are installed with Python are not shown."""
    assert await _shown(sandbox, "os.statvfs('/').f_flag & os.ST_RDONLY")
    assert await _shown(sandbox, "os.statvfs(os.__file__).f_flag & os.ST_RDONLY")
    assert await _shown(sandbox, "os.statvfs(os.path.realpath('/usr/lib')).f_flag & os.ST_RDONLY")
    assert await _shown(sandbox, "not os.statvfs('.').f_flag & os.ST_RDONLY")
    packages = "os.path.dirname(os.__file__) + '/site-packages'"
    assert await _shown(sandbox, f"not os.path.isdir({packages}) or not os.listdir({packages})")


@pytest.mark.parametrize(
    ("code", "ended"),
    [
        ("while True: pass", "time"),
        ("import time; time.sleep(600)", "time"),
        ("import signal\nfor n in {1, 2, 3, 14, 15, 24}: signal.signal(n, signal.SIG_IGN)\nwhile True: pass", "time"),
        ("x = bytearray(2**40)", "memory"),
        ("x = []\nwhile True: x.append(bytearray(10**7))", "memory"),
        (f"print('x' * {LONGEST_OUTPUT})", "output"),
        ("while True: print('x' * 10_000)", "output"),
        ("import os\nwhile True: os.fork()", "failed"),
        ("import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(9,)).start()", "failed"),
        ("import threading as t, time\nt.stack_size(65536)\n"
         + "t.Thread(target=time.sleep, args=(9,)).start()\n" * 64, "failed"),
        ("def f(): f()\nf()", "failed"),
        ("open('big', 'wb').write(b'x' * 10**8)", "failed"),
        ("n = 0\nwhile True:\n    open(str(n), 'wb').write(b'x' * 10**6)\n    n += 1", "failed"),
        ("n = 0\nwhile True:\n    open(str(n), 'wb').close()\n    n += 1", "failed"),
        ("held = []\nwhile True: held.append(open('one', 'w'))", "failed"),
        ("import ctypes; ctypes.string_at(0)", "failed"),
    ],
)  # fmt: skip
async def test_every_bomb_goes_off_inside(sandbox: Sandbox, hasty: Sandbox, code: str, ended: str) -> None:
    """Time, memory, output, processes, threads, file sizes, files and their number have an end of their own."""
    ending = await _run(hasty if ended == "time" else sandbox, code)
    assert ending.passed == 0
    assert ending.ended == ended or (ended == "output" and ending.ended == "failed")
    assert await _run(sandbox, "x = 1", Assertions("assert x == 1")) == Ending(1, "passed")


async def test_output_at_its_limit_is_kept(sandbox: Sandbox) -> None:
    """The most that a program may write is compared, and one byte more is too much."""
    longest = "x" * LONGEST_OUTPUT
    assert await _run(sandbox, f"print('x' * {LONGEST_OUTPUT}, end='')", Program("", longest)) == Ending(1, "passed")
    ending = await _run(sandbox, f"print('x' * {LONGEST_OUTPUT + 1}, end='')", Program("", longest))
    assert ending == Ending(0, "output")


async def test_a_cancelled_run_leaves_no_process(sandbox: Sandbox) -> None:
    """When nobody waits for the verdict any longer, every process of the run is killed."""
    assert await sandbox.missing() is None
    before = leaders(os.getpid())
    running = asyncio.ensure_future(_run(sandbox, "while True: pass"))
    await until(lambda: any(len(members(each)) == WHOLE_RUN for each in leaders(os.getpid()) - before))
    (session,) = leaders(os.getpid()) - before
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await until(lambda: not members(session))


async def test_a_run_ends_with_the_gateway(tmp_path: Path) -> None:
    """When the gateway is killed, the code that it runs does not outlive it."""
    script = tmp_path / "grades.py"
    script.write_text(
        "import asyncio\n"
        "from gateway.adapters.graders.sandbox import Sandbox\n"
        "from gateway.domain.check import Assertions\n"
        "walls = Sandbox(most=1, seconds=300, memory_bytes=2**28)\n"
        "async def main():\n"
        "    assert await walls.missing() is None\n"
        "    print('ready', flush=True)\n"
        "    await walls.run('while True: pass', [Assertions('')], deadline_s=300)\n"
        "asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, str(script), stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    await until(lambda: any(len(members(each)) == WHOLE_RUN for each in leaders(process.pid)))
    (session,) = leaders(process.pid)
    process.kill()
    await process.wait()
    await until(lambda: not members(session))


async def test_a_run_that_gets_no_place_in_time_is_refused() -> None:
    """Waiting for a place counts: a run without one by its deadline has no verdict."""
    hasty = Sandbox(most=1, seconds=1.0, memory_bytes=MEMORY)
    assert await hasty.missing() is None
    first = asyncio.ensure_future(_run(hasty, "while True: pass"))
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match=r"did not end within 0\.05 s"):
        await hasty.run("x = 1", [PASSES], deadline_s=0.05)
    assert (await first).ended == "time"
