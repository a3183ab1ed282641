"""Promise: nothing that serves a request can start a program, fill in a template or run code that was sent.

Checks of answers are the exception, and have one door each: programs of ours, always the same ones, are started
as processes of their own by two modules, and what they run is never imported by the gateway. The dashboard looks at the
log in a process of its own, which is the gateway's own code. And its pages are templates: files of the package,
escaping all that they are given, and never a text that was sent.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

GATEWAY = Path(__file__).parents[2] / "gateway"
SERVING = ("http", "flow", "adapters", "store", "policy", "dialects", "domain")
EXECUTING_MODULES = frozenset(
    {"subprocess", "pickle", "marshal", "shelve", "code", "codeop", "runpy", "ctypes", "multiprocessing", "pty"}
    | {"jinja2", "mako", "string.templatelib", "dill", "cloudpickle"}
)
EXECUTING_CALLS = frozenset({"eval", "exec", "compile", "__import__"})
EXECUTING_METHODS = frozenset(
    {"create_subprocess_exec", "create_subprocess_shell", "subprocess_exec", "subprocess_shell"}
)
EXECUTING_ATTRIBUTES = frozenset({"system", "popen", "execv", "execve", "execvp", "spawnv", "posix_spawn", "fork"})
GRADERS = GATEWAY / "adapters" / "graders"
DASHBOARD = GATEWAY / "http" / "dashboard"
_ALONE = "sys.executable, '-I', '-B', '-X', 'utf8', '-m'"
STARTERS = {
    GRADERS / "workers.py": (f"{_ALONE}, f'{{_PROGRAMS}}.{{self._program}}', str(os.getpid())", "{}"),
    GRADERS / "sandbox.py": (f"{_ALONE}, _PROGRAM", "{}"),
    DASHBOARD / "reader.py": ("sys.executable, '-P', '-m', PROGRAM", "_environment()"),
}
"""The modules that start processes, each with its command and the environment that it gives along."""
PAGES = DASHBOARD / "pages.py"
"""The module that fills in templates."""
APART = sorted((GRADERS / "isolated").glob("*.py"))
"""What runs in such processes: the one place where code that was sent is executed, behind walls."""
FILES = sorted(
    path
    for folder in SERVING
    for path in (GATEWAY / folder).rglob("*.py")
    if path not in APART and path not in STARTERS and path != PAGES
)


def _executing(tree: ast.AST) -> Iterator[str]:
    """What in a module could run something."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (each.name for each in names if each.name in EXECUTING_MODULES)
            case ast.ImportFrom(module=str(module)) if module in EXECUTING_MODULES:
                yield module
            case ast.Call(func=ast.Name(id=name)) if name in EXECUTING_CALLS:
                yield name
            case ast.Attribute(attr=name) if name in EXECUTING_METHODS:
                yield name
            case ast.Attribute(value=ast.Name(id="os"), attr=name) if name in EXECUTING_ATTRIBUTES:
                yield f"os.{name}"
            case ast.Call(func=ast.Name(id="import_module"), args=[argument]) if not isinstance(argument, ast.Constant):
                yield "import_module of something computed"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(GATEWAY)))
def test_serving_code_executes_nothing(path: Path) -> None:
    """Modules below the commands import nothing that runs programs, unpickles or renders templates, and call none."""
    assert not list(_executing(ast.parse(path.read_text("utf-8"))))


@pytest.mark.parametrize(
    "source",
    [
        "import subprocess",
        "from pickle import loads",
        "eval('1')",
        "import os\nos.system('x')",
        "import_module(name)",
        "asyncio.create_subprocess_exec('x')",
        "loop.subprocess_shell(f, 'x')",
    ],
)
def test_the_search_finds_what_it_looks_for(source: str) -> None:
    """Each kind of execution is recognised."""
    assert list(_executing(ast.parse(source)))


@pytest.mark.parametrize("path", sorted(STARTERS), ids=lambda path: path.name)
def test_what_is_started_is_our_own_program(path: Path) -> None:
    """A process is started without a shell, from a constant command, and with an environment of its own."""
    tree = ast.parse(path.read_text("utf-8"))
    assert set(_executing(tree)) == {"create_subprocess_exec"}
    (call,) = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "asyncio.create_subprocess_exec"
    ]
    (command,) = call.args
    assert isinstance(command, ast.Starred)
    words = ast.unparse(command.value).removeprefix("(").removesuffix(")")
    given = {each.arg: ast.unparse(each.value) for each in call.keywords}["env"]
    assert (words, given) == STARTERS[path]


def test_what_runs_apart_is_never_imported() -> None:
    """No module of the gateway or the calibrator imports the programs that meet code that was sent."""
    for folder in (GATEWAY, GATEWAY.parent / "calibrator"):
        for path in folder.rglob("*.py"):
            if path not in APART:
                assert "graders.isolated" not in _imported(path), path


def _imported(path: Path) -> str:
    tree = ast.parse(path.read_text("utf-8"))
    return " ".join(ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom))


def _calls(path: Path, name: str) -> list[ast.Call]:
    """The calls in a module of what ends with this name."""
    nodes = ast.walk(ast.parse(path.read_text("utf-8")))
    called = [node for node in nodes if isinstance(node, ast.Call)]
    return [call for call in called if ast.unparse(call.func).rpartition(".")[2] == name]


def test_pages_are_made_of_our_own_templates_alone() -> None:
    """One environment reads templates of the package and escapes; none is made of a text, and none lets one through."""
    assert list(_executing(ast.parse(PAGES.read_text("utf-8")))) == ["jinja2"]
    (environment,) = _calls(PAGES, "Environment")
    given = {each.arg: ast.unparse(each.value) for each in environment.keywords}
    assert not environment.args
    assert given["loader"] == "PackageLoader('gateway.http.dashboard')"
    assert given["autoescape"] == "True"
    modules = sorted(DASHBOARD.rglob("*.py"))
    assert not [path.name for path in modules for name in ("from_string", "Template") if _calls(path, name)]
    templates = sorted((DASHBOARD / "templates").rglob("*.html"))
    assert templates
    assert not [path.name for path in templates if re.search(r"\|\s*safe\b|autoescape", path.read_text("utf-8"))]
