"""The documentation: its Python runs, its links lead somewhere, and what it names exists."""

import ast
import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import terraloom

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
ELSEWHERE = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py") if path.name != Path(__file__).name)
"""Other tests: a page that one of them names, as docs/NAME.md, has its Python run there."""
OPTIONAL = ("mujoco", "pybullet")
PROSE = [*PAGES, *(ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"))]
SOURCES = [path for folder in ("sdk/python", "engines") for path in (ROOT / folder).rglob("*.py")]


def python_blocks(page: Path) -> list[tuple[int, str]]:
    """The line before each Python block of a page, and its text."""
    text = page.read_text()
    return [(text.count("\n", 0, found.start()) + 1, found[1]) for found in re.finditer(r"^```python\n(.*?)^```$", text, re.M | re.S)]


@pytest.mark.parametrize(
    "page", [page for page in PAGES if python_blocks(page) and f"docs/{page.name}" not in ELSEWHERE], ids=lambda page: page.name
)
def test_the_python_of_a_page_runs_from_top_to_bottom(page: Path, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    absent, names = [], {"__name__": "__main__"}
    for line, block in python_blocks(page):
        lacking = [module for module in OPTIONAL if f"import {module}\n" in block and importlib.util.find_spec(module) is None]
        absent += lacking
        if not lacking:
            exec(compile("\n" * line + block.replace("127.0.0.1:50051", server), page, "exec"), names)
    if absent:
        pytest.skip(f"a part of {page.name} needs {', '.join(absent)}")


@pytest.mark.parametrize("page", PROSE, ids=lambda page: page.name)
def test_relative_links_of_a_page_lead_to_files(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S)
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if not re.match(r"[a-z]+:|#", link)]
    assert [link for link in links if not (page.parent / link.partition("#")[0]).exists()] == []


def test_every_page_is_in_the_navigation() -> None:
    listed = re.findall(r": (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.M)
    assert sorted(listed) == sorted(str(page.relative_to(DOCS)) for page in PAGES), "add the page to `nav` in mkdocs.yml"


def test_every_public_name_of_the_client_is_in_the_reference() -> None:
    documented = re.findall(r"^::: terraloom\.(\w+)$", (DOCS / "reference/client.md").read_text(), re.M)
    modules = [path.stem for path in (ROOT / "sdk/python/terraloom").glob("*.py") if not path.stem.startswith("_")]
    assert sorted(documented) == sorted([*terraloom.__all__, *modules])


def test_the_chart_of_streaming_names_functions_that_exist() -> None:
    charted = re.findall(r'class="code"[^>]*>([^<]+)<', (DOCS / "streaming.svg").read_text())
    wanted = {name for text in charted for name in text.split(", ")}
    assert len(wanted) > 10
    assert wanted - functions() == set()


def functions() -> set[str]:
    """Names of all functions of the sources, and `Class.method` of all methods, inherited ones included."""
    classes: dict[str, ast.ClassDef] = {}
    found = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                classes[node.name] = node
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                found.add(node.name)

    def methods(name: str) -> set[str]:
        node = classes.get(name)
        if node is None:
            return set()
        own = {item.name for item in node.body if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)}
        bases = [base.value if isinstance(base, ast.Subscript) else base for base in node.bases]
        return own.union(*(methods(base.id) for base in bases if isinstance(base, ast.Name)))

    return found | {f"{name}.{method}" for name in classes for method in methods(name)}


def test_the_site_builds_and_all_its_links_lead_somewhere(tmp_path: Path) -> None:
    if importlib.util.find_spec("zensical") is None:
        pytest.skip("the site needs the extra `docs`: make docs")
    shutil.copytree(DOCS, tmp_path / "docs")
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    for folder in ("proto", "sdk", "engines"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    for command in (["-m", "zensical", "build", "--strict"], [DOCS / "links.py", "build/site"]):
        done = subprocess.run([sys.executable, *command], cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_link_check_names_what_is_broken(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(
        '<a href="#here">1</a><a href="none/">2</a><img src="none.png"><script src="https://cdn.example/x.js"></script><p id="there">'
        '<a href="#there">3</a><a href="https://example.org/">4</a><a href="mailto:x@example.org">5</a>'
    )
    done = subprocess.run([sys.executable, DOCS / "links.py", tmp_path], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "index.html loads https://cdn.example/x.js from another host",
        "index.html links to #here: there is no such anchor",
        "index.html links to none/: there is no such file",
        "index.html links to none.png: there is no such file",
    ]
