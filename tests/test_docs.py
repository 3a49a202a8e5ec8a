"""The documents: links, and facts that stand in several places."""

import functools
import itertools
import json
import pathlib
import re
import subprocess
import tomllib

import pytest
import yaml

import cyclegan_jax

ROOT = pathlib.Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
LINK = re.compile(r"\]\(([^)\s]+)\)")


def without_code(text):
    """Blanks fenced blocks, then code in lines."""
    text = re.sub(r"(?ms)^```.*?^```", "", text)
    return re.sub(r"`[^`\n]+`", "", text)


@functools.cache
def anchors(path):
    """The anchors of a page's headings, as repositories' pages make them."""
    text = re.sub(r"(?ms)^```.*?^```", "", path.read_text())
    headings = re.findall(r"(?m)^#+ +(.*?) *$", text)
    return [re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings]


def broken(page, text):
    """Returns the relative links in a page's text that lead nowhere."""
    found = []
    for link in LINK.findall(without_code(text)):
        path, _, anchor = link.partition("#")
        if re.match(r"\w+:", link):
            continue
        file = (page.parent / path).resolve() if path else page
        inside = file.is_file() and file.is_relative_to(ROOT)
        if not inside or (anchor and anchor not in anchors(file)):
            found.append(link)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links(page):
    assert broken(page, page.read_text()) == []


def misread(text):
    """Returns lines that the site's Markdown reads in another way than repositories'.

    It begins a list after an empty line only, also after a paragraph nested in another
    item, and wants four spaces before what is nested.
    """
    text = re.sub(r"(?ms)^( *)```.*?^ *```$", r"\1```", text)
    lines = ["", *text.splitlines()]
    found = []
    for before, line in itertools.pairwise(lines):
        item = re.match(r"(- |\d+\. )", line)
        begins = item and before and not re.match(r"(- |\d+\. | {1,3}\S)", before)
        if begins or re.match(r" {1,3}(- |\d+\. |```|\|)", line):
            found.append(line)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_lists_are_read_in_the_same_way(page):
    assert misread(page.read_text()) == []


def test_misread_lists_are_found():
    right = "A\n\n- b\n  c\n- d\n\n    ```\n- e\n    ```\n\n- f"
    assert misread(right) == []
    assert misread("A\n- b") == ["- b"]
    assert misread("- b\n\n    c\n- d") == ["- d"]
    assert misread("- b\n  - c") == ["  - c"]
    assert misread("- b\n\n  ```\n  c\n  ```\n") == ["  ```"]


def test_links_of_the_notebook():
    page = ROOT / "examples/tour.ipynb"
    cells = json.loads(page.read_text())["cells"]
    text = "\n\n".join("".join(cell["source"]) for cell in cells)
    assert "](../docs/data.md)" in text
    assert broken(page, text) == []


@pytest.mark.parametrize(
    ("link", "lost"),
    [
        ("metrics.md#fid-and-kid", False),
        ("../README.md", False),
        ("https://example.com/no#such", False),
        ("metrics.md#fid", True),
        ("metric.md", True),
        ("../docs", True),
        ("#no-such-heading", True),
    ],
)
def test_broken_links_are_found(link, lost):
    page = ROOT / "docs/data.md"
    assert broken(page, f"See [this]({link}).") == ([link] if lost else [])


def test_each_page_is_in_the_site():
    """`make docs` fails otherwise."""
    text = (ROOT / "mkdocs.yml").read_text()
    listed = re.findall(r"(?m)- (?:\w+: )?(\w+\.md)$", text)
    pages = {page.name for page in PAGES if page.parent.name == "docs"}
    assert pages <= set(listed)
    assert len(listed) == len(set(listed))


def test_citations_agree():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    (paper,) = citation["references"]
    bibtex = (ROOT / "docs/citing.md").read_text().replace("\\_", "_")
    fields = re.findall(r"^  (\w+) = \{+(.*?)\}+,$", bibtex, re.M)
    names = " and ".join(
        f"{author['family-names']}, {author['given-names']}"
        for author in paper["authors"]
    )
    assert fields == [
        ("title", paper["title"]),
        ("author", names),
        ("booktitle", paper["collection-title"]),
        ("year", str(paper["year"])),
        ("doi", paper["doi"]),
        ("title", citation["title"]),
        ("author", citation["authors"][0]["name"]),
        ("version", citation["version"]),
        ("year", "2026"),
    ]


def test_versions_agree():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert citation["version"] == cyclegan_jax.__version__
    assert citation["license"] == project["license"]
    newest = re.search(r"(?m)^## \[([\d.]+)\]", (ROOT / "CHANGELOG.md").read_text())
    assert newest[1] == cyclegan_jax.__version__


@pytest.mark.parametrize("name", ["bug", "results"])
def test_issues_ask_for_what_is_needed(name):
    form = yaml.safe_load((ROOT / f".github/ISSUE_TEMPLATE/{name}.yml").read_text())
    required = {
        part["id"]
        for part in form["body"]
        if part.get("validations", {}).get("required")
    }
    assert {"command", "output", "run"} <= required
    assert "run.json" in {part["attributes"].get("label") for part in form["body"]}


def test_pages_name_files_that_exist():
    """Paths of this repository in code, such as `tests/test_pages.py`."""
    tracked = subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True).split()
    folders = "|".join({name.split("/")[0] for name in tracked if "/" in name})
    path = re.compile(rf"`((?:{folders})/[\w./-]+\.\w+)`")
    missing = {
        (page.name, name)
        for page in PAGES
        for name in path.findall(page.read_text())
        if name not in tracked
    }
    assert missing == set()
