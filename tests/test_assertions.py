"""Every test asserts something: it can fail by more than an error, or by having waited for too long."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
WAITING: Final = frozenset({"eventually", "until"})
"""Helpers that only wait under a deadline: that something came is told, but not what a user would notice of it."""
OF_PYTEST: Final = frozenset({"raises", "warns", "fail"})

Function = ast.FunctionDef | ast.AsyncFunctionDef


def without_an_assertion(path: Path) -> list[str]:
    """Returns the tests of a file that assert nothing, neither themselves nor by a helper that they call."""
    tests = [function for name, function in _functions(path).items() if name.startswith("test_")]
    return [f"{path.relative_to(ROOT)}: {test.name}" for test in tests if not _asserts(path, test, frozenset())]


def _asserts(path: Path, function: Function, seen: frozenset[str]) -> bool:
    for node in ast.walk(function):
        if isinstance(node, ast.Assert):
            return True
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Attribute) and _is_assertion(node.func.attr):
                return True
            if isinstance(node.func, ast.Name) and node.func.id not in seen | WAITING:
                where, helper = _helper(path, node.func.id)
                if helper is not None and _asserts(where, helper, seen | {node.func.id}):
                    return True
    return False


def _is_assertion(method: str) -> bool:
    """Tells whether it is pytest's, or numpy's or torch's such as `assert_array_equal`."""
    return method in OF_PYTEST or method.startswith("assert_")


def _helper(path: Path, name: str) -> tuple[Path, Function | None]:
    """Returns a function of the tests that a file calls by its bare name, and the file where it stands."""
    where = _imported(path).get(name, path)
    return where, _functions(where).get(name) if where.exists() else None


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def _functions(path: Path) -> dict[str, Function]:
    """Returns the functions of a file, those of its classes among them, by name."""
    return {node.name: node for node in ast.walk(_tree(path)) if isinstance(node, Function)}


@cache
def _imported(path: Path) -> dict[str, Path]:
    """Returns the files of what a file imports from other files of the tests, by name."""
    imports = (node for node in ast.walk(_tree(path)) if isinstance(node, ast.ImportFrom))
    return {
        name.asname or name.name: ROOT / f"{module.replace('.', '/')}.py"
        for node in imports
        if (module := node.module or "").startswith("tests.")
        for name in node.names
    }


def _test_files() -> Iterator[Path]:
    yield from sorted((ROOT / "tests").rglob("test_*.py"))


def test_every_test_asserts_something() -> None:
    assert [test for path in _test_files() for test in without_an_assertion(path)] == []


def test_a_test_that_only_waits_or_only_runs_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "test_it.py"
    path.write_text(
        "from tests.support.waiting import eventually\n"
        "def helper(): assert True\n"
        "def idle(): pass\n"
        "def test_runs(): idle()\n"
        "async def test_waits(): await eventually(idle, 5)\n"
        "def test_asserts(): helper()\n"
        "def test_raises():\n"
        "    with pytest.raises(ValueError): idle()\n"
    )
    wrong = [test for name, test in _functions(path).items() if name.startswith("test_")]
    assert [test.name for test in wrong if not _asserts(path, test, frozenset())] == ["test_runs", "test_waits"]
