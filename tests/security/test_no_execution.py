"""Promise: nothing that serves a request can start a program, fill in a template or run code that was sent."""

from __future__ import annotations

import ast
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
EXECUTING_ATTRIBUTES = frozenset({"system", "popen", "execv", "execve", "execvp", "spawnv", "posix_spawn", "fork"})
FILES = sorted(path for folder in SERVING for path in (GATEWAY / folder).rglob("*.py"))


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
    ["import subprocess", "from pickle import loads", "eval('1')", "import os\nos.system('x')", "import_module(name)"],
)
def test_the_search_finds_what_it_looks_for(source: str) -> None:
    """Each kind of execution is recognised."""
    assert list(_executing(ast.parse(source)))
