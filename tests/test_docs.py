"""The pages and the tree say the same: every path, module and command that a page names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bridge.__main__ import main

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "Makefile", "compose.yaml", "Dockerfile", "pyproject.toml", "dialplan/*.conf")
    for path in ROOT.glob(pattern)
)
FOLDERS = "benchmarks|bridge|dialplan|docs|engine|fuzz|packaging|tests"
PATH = re.compile(rf"(?<![\w./-])(?:{FOLDERS})/[\w./-]*\w/?(?![\w*{{])")
"""A path from the root of the repository, wherever it stands. One with a wildcard is none."""
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)")
CODE = re.compile(r"^```.*?^```|`[^`\n]+`", re.M | re.S)
COMMAND = re.compile(
    r"talkspurt (serve|engine|settings|agents|dial|say|demo|converse|call|judge|dialplan|doctor)\b([^`#\n]*)"
)


def heads(page: Path) -> set[str]:
    """The anchors that GitHub gives a page's headings."""
    return {
        re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-")
        for title in re.findall(r"^#+ (.+)$", page.read_text(), re.M)
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_path_on_the_page_is_there(page: Path) -> None:
    named = set(PATH.findall(page.read_text()))
    missing = {name for name in named if not (ROOT / name).exists()}
    assert not missing


def test_paths_are_seen() -> None:
    named = PATH.findall("`tests/a.py` (`docs/b.md`, bridge/c/). See engine/*.py, example.com/docs/x and `dialplan/`.")
    assert named == ["tests/a.py", "docs/b.md", "bridge/c/"]


@pytest.mark.parametrize("page", [page for page in PAGES if page.suffix == ".md"], ids=lambda path: path.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target, anchor in LINK.findall(CODE.sub("", page.read_text())):
        file = page.parent / target if target else page
        assert file.exists(), target
        assert not anchor or anchor in heads(file), f"{target}#{anchor}"


@pytest.mark.parametrize("page", [page for page in PAGES if page.suffix == ".md"], ids=lambda path: path.name)
def test_every_option_of_a_command_exists(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command, rest in COMMAND.findall(page.read_text()):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        known = capsys.readouterr().out
        for option in re.findall(r"(?<!\S)--?[a-z][\w-]*", rest):
            assert option in known, f"talkspurt {command} {option}"


def test_every_benchmark_that_is_named_exists() -> None:
    for page in PAGES:
        for name in re.findall(r"python (?:-u )?-m (benchmarks(?:\.\w+)+)", page.read_text()):
            assert (ROOT / f"{name.replace('.', '/')}.py").exists(), f"{page.name}: {name}"


def test_modules_on_the_map_are_where_it_shows_them() -> None:
    page = (ROOT / "docs/architecture.md").read_text()
    tree = page.split("## The map")[1].split("```")[1]
    for name in re.findall(r"(?:─► |── |^ {2}|^)([a-z0-9_]+)/(?= )", tree, re.M):
        assert list(ROOT.glob(f"**/{name}/__init__.py")) or (ROOT / name).is_dir(), name


def test_make_targets_of_the_pages_exist() -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M)
    for page in PAGES:
        for target in re.findall(r"(?:^|`)make ([a-z-]+)", page.read_text(), re.M):
            assert target in targets, f"{page.name}: make {target}"


def test_classes_and_functions_of_the_map_are_in_the_modules_it_names() -> None:
    """`playout.Playout` is in a module playout.py, `Playout.tick()` in whichever defines the class."""
    sources = {path: path.read_text() for folder in ("bridge", "engine") for path in (ROOT / folder).rglob("*.py")}
    for name in re.findall(r"`([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+)\b[^`]*`", (ROOT / "docs/architecture.md").read_text()):
        *owners, last = name.split(".")
        if last in ("py", "toml", "md"):
            continue
        owner = owners[-1]
        where = [
            text
            for path, text in sources.items()
            if (path.stem == owner or path.parent.name == owner or re.search(rf"^class {owner}\b", text, re.M))
        ]
        assert any(re.search(rf"\b{last}\b", text) for text in where) or (ROOT / name.replace(".", "/")).is_dir(), name


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_placeholder_is_left(page: Path) -> None:
    assert not re.search(r"@@\w+@@|TODO|FIXME", page.read_text())


def test_every_test_that_is_named_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "docs/security.md").read_text())
    assert named
    missing = [(file, test) for file, test in named if f"def {test}(" not in (ROOT / file).read_text()]
    assert not missing
