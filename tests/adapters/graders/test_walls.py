"""Walls that are missing or do not hold: found out before any code runs, and said."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

from gateway.adapters.graders.isolated import seccomp
from gateway.adapters.graders.isolated.syscalls import MACHINES
from gateway.adapters.graders.sandbox import Sandbox

WITHOUT_NAMESPACES = """
import asyncio, json, os
from pathlib import Path
from gateway.adapters.graders.isolated import kernel
from gateway.adapters.graders.sandbox import Sandbox
from gateway.domain.check import Assertions
from gateway.errors import Unavailable

user, group = os.geteuid(), os.getegid()
kernel.unshare(kernel.CLONE_NEWUSER, "a world without namespaces")
Path("/proc/self/setgroups").write_text("deny")
Path("/proc/self/uid_map").write_text(f"65534 {user} 1")
Path("/proc/self/gid_map").write_text(f"65534 {group} 1")
Path("/proc/sys/user/max_user_namespaces").write_text("0")

async def main():
    walls = Sandbox(most=1, seconds=5.0, memory_bytes=2**28)
    try:
        await walls.run("open('ran', 'w')", [Assertions("")], deadline_s=60)
    except Unavailable as fault:
        print(json.dumps([await walls.missing(), fault.message]))

asyncio.run(main())
"""


async def test_a_machine_without_namespaces_runs_no_code(tmp_path: Path) -> None:
    """Where the kernel grants no namespaces the refusal names them, and the code has not run."""
    script = tmp_path / "grades.py"
    script.write_text(WITHOUT_NAMESPACES)
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(script), stdout=asyncio.subprocess.PIPE, cwd=tmp_path
    )
    told, _ = await process.communicate()
    missing, message = json.loads(told)
    assert missing.startswith("namespaces of users, network and mounts: ")
    assert message == f"code is only run in an isolated process, for which this machine lacks {missing}"
    assert not (tmp_path / "ran").exists()


async def test_walls_that_do_not_hold_are_told() -> None:
    """Each attempt that got through is in what is missing, and so is a program that did not come to its end."""
    walls = Sandbox(most=1, seconds=5.0, memory_bytes=2**28)
    assert await walls.try_walls("print('[]')") is None
    through = await walls.try_walls("""print('["make a socket", "start a process"]')""")
    assert through == "walls that hold: code behind them could make a socket, start a process"
    assert await walls.try_walls("1 / 0") == "a process that can run Python behind walls (it ended by failed)"


@pytest.mark.parametrize("machine", MACHINES)
def test_filters_fit_what_their_jumps_can_reach(machine: str) -> None:
    """Every way through a filter ends in one of its returns, and no jump leads out of it."""
    instructions = seccomp.program(MACHINES[machine])
    assert len(instructions) < 4096
    for at, each in enumerate(instructions):
        assert at + 1 + max(each.if_true, each.if_false) < len(instructions) or each.code == 0x06
    assert instructions[-1].code == 0x06


def _verdict(machine: str, number: int, argument: int = 0, audit: int | None = None) -> int:
    """What the filter of a machine says of a call: its program, run here."""
    facts = {0: number, 4: MACHINES[machine].audit if audit is None else audit, 16: argument}
    program, at, held = seccomp.program(MACHINES[machine]), 0, 0
    while True:
        code, value, if_true, if_false = program[at]
        at += 1
        match code:
            case 0x20:
                held = facts[value]
            case 0x54:
                held &= value
            case 0x15:
                at += if_true if held == value else if_false
            case 0x35:
                at += if_true if held >= value else if_false
            case 0x06:
                return value


ALLOWED, REFUSED, UNKNOWN, DEADLY = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000


@pytest.mark.parametrize("machine", MACHINES)
def test_the_filter_of_each_processor_says_the_same(machine: str) -> None:
    """Threads and pairs of local sockets are allowed, processes, other families and other processes' limits not."""
    each = MACHINES[machine]
    thread, process, space = 0x003D0F00, 0x01200011, 0x003D0F00 | 0x10000000
    assert _verdict(machine, each.clone, thread) == ALLOWED
    assert _verdict(machine, each.clone, process) == REFUSED
    assert _verdict(machine, each.clone, space) == REFUSED
    assert _verdict(machine, each.clone3) == UNKNOWN
    assert _verdict(machine, each.socketpair, 1) == ALLOWED
    assert _verdict(machine, each.socketpair, 2) == REFUSED
    assert _verdict(machine, each.prlimit64, 0) == ALLOWED
    assert _verdict(machine, each.prlimit64, 1) == REFUSED
    assert _verdict(machine, each.pivot_root) == REFUSED
    assert all(_verdict(machine, number) == ALLOWED for number in each.allowed)
    assert _verdict(machine, each.allowed[0], audit=0x40000028) == DEADLY


FORBIDDEN = {
    "x86_64": (
        41,
        42,
        56 + 2**30,
        57,
        58,
        59,
        62,
        101,
        155,
        161,
        165,
        175,
        246,
        248,
        250,
        272,
        304,
        308,
        310,
        319,
        321,
    ),
    "aarch64": (198, 203, 221, 281, 129, 117, 41, 51, 40, 105, 104, 217, 219, 97, 265, 268, 270, 279, 280, 425, 442),
}
"""Sockets, forks, programs, kill, ptrace, mounts, modules, keys, namespaces, memory of others, memfd, bpf."""


@pytest.mark.parametrize("machine", MACHINES)
def test_no_dangerous_call_is_listed(machine: str) -> None:
    """By number, as a slip in a table of numbers is the fault to fear."""
    assert all(_verdict(machine, number) in {REFUSED, DEADLY} for number in FORBIDDEN[machine])
