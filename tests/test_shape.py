"""The shape of the code: sizes, names, imports and what may not stand in a file. No list of exceptions to sizes."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDERS = ("gateway", "calibrator", "migrations", "tests", "deploy")
FILE_LINES = 400
FUNCTION_LINES = 60
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}
LAZY = {"litellm", "anthropic", "xllamacpp", "alembic", "redis", "opentelemetry", "pyarrow", "reasoning_gym"}
"""Packages so slow or large that they are imported where they are used; the last three may be missing altogether."""
OUTERMOST = {
    "gateway/adapters/graders/isolated/trial.py": "whatever code that is tested raises is a failed test",
    "gateway/app.py": "a fault of ours must not end the following of the configuration",
    "gateway/bookkeeper.py": "a fault of ours must not end the checks of the nights to come",
    "gateway/dashboard_process.py": "a fault of ours in one view must not end the others",
    "gateway/flow/settlements.py": "a fault of ours with one hold must keep no other from settling or being renewed",
    "gateway/store/following.py": "a fault of ours must not end the following of rollbacks and rotations",
    "gateway/background/runner.py": "a fault of ours must end neither the taking of jobs nor one job without a word",
    "gateway/adapters/journal/mover.py": "a fault of ours must not end the moving of records to the database",
    "gateway/herald.py": "a fault of ours must not end the telling of later events",
    "gateway/store/key_ring.py": "a fault of ours must not end the following of revocations",
    "gateway/http/faults.py": "the last resort turns a defect into a 500 in the client's dialect",
}
"""Where ``except Exception`` stands at the outermost loop, and why."""
FORBIDDEN_TEXT = {
    "a path of somebody's machine": re.compile(r"(?<![\w.])/(?:work|root|home/\w+|Users/\w+)/[\w.]"),
    "a package registry's host": re.compile(
        r"\b(?:files\.pythonhosted|pypi\.(?:org|python)|registry\.npmjs|download\.pytorch|test\.pypi)\b"
    ),
    "a pip index address": re.compile(r"--(?:extra-)?index-url[ =]http"),
}
SOURCES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
OURS = [path for path in SOURCES if path.relative_to(ROOT).parts[0] in {"gateway", "calibrator"}]


def test_there_is_something_to_look_at() -> None:
    """The sources are found, so that the tests below say something."""
    assert len(OURS) > 20
    assert len(SOURCES) > len(OURS)


def test_files_have_a_modest_size() -> None:
    """A file has at most 400 lines."""
    sizes = {_name(path): len(path.read_text("utf-8").splitlines()) for path in SOURCES}
    assert not {name: size for name, size in sizes.items() if size > FILE_LINES}


def test_functions_have_a_modest_size() -> None:
    """A function has at most 60 lines, blank ones and the docstring included."""
    sizes = {
        f"{_name(path)}:{function.name}": (function.end_lineno or 0) - function.lineno + 1
        for path in SOURCES
        for function in _functions(path)
    }
    assert not {name: size for name, size in sizes.items() if size > FUNCTION_LINES}


def test_files_are_named_for_what_they_hold() -> None:
    """No file or folder is called by a name that says nothing."""
    parts = {_name(path): {part.removesuffix(".py") for part in path.relative_to(ROOT).parts} for path in SOURCES}
    assert not {name: named & FORBIDDEN_NAMES for name, named in parts.items() if named & FORBIDDEN_NAMES}


def test_every_module_says_what_it_owns() -> None:
    """Every module has a docstring."""
    assert not [_name(path) for path in OURS if not ast.get_docstring(_tree(path))]


def test_every_test_states_a_behaviour() -> None:
    """Every test has a docstring."""
    tests = [(path, each) for path in SOURCES if path.name.startswith("test_") for each in _functions(path)]
    assert not [
        f"{_name(path)}:{each.name}"
        for path, each in tests
        if each.name.startswith("test_") and not ast.get_docstring(each)
    ]


def test_only_the_outermost_loops_catch_everything() -> None:
    """``except Exception`` stands nowhere but at the outermost loops; to clean up and raise again is no catching."""
    catching = {
        _name(path)
        for path in OURS
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.ExceptHandler) and _catches_everything(node)
    }
    assert catching == OUTERMOST.keys()


def test_imports_stand_at_the_top() -> None:
    """Only packages that are slow or large are imported inside a function."""
    assert not {
        f"{_name(path)}:{function.name} imports {module}"
        for path in OURS
        for function in _functions(path)
        for node in ast.walk(function)
        for module in _imported(node)
        if module.split(".")[0] not in LAZY
    }


def test_no_file_tells_where_it_was_made() -> None:
    """No file that is, or would be, committed names a machine's folders or a registry's host."""
    texts = {path: _text(path) for path in _tracked() if path != Path(__file__)}
    assert not [
        f"{_name(path)}: {what}"
        for path, text in texts.items()
        for what, pattern in FORBIDDEN_TEXT.items()
        if pattern.search(text)
    ]


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), filename=str(path))


def _functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(_tree(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def _catches_everything(handler: ast.ExceptHandler) -> bool:
    last = handler.body[-1]
    if isinstance(last, ast.Raise) and last.exc is None:
        return False
    if handler.type is None:
        return True
    return bool({"Exception", "BaseException"} & {n.id for n in ast.walk(handler.type) if isinstance(n, ast.Name)})


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return ["." * node.level + (node.module or "")]
    return []


def _tracked() -> list[Path]:
    """Every file that is committed or would be: what git tracks, and what it does not ignore."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True)
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def _text(path: Path) -> str:
    """The file's text; none for a file that is not text."""
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError:
        return ""
