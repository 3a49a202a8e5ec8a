"""The documentation's site, as `make docs` builds it; needs requirements-docs.txt."""

import functools
import http.server
import os
import pathlib
import re
import subprocess
import sys
import threading

import pytest

pytest.importorskip("mkdocstrings")
pytest.importorskip("check_jsonschema")

ROOT = pathlib.Path(__file__).parent.parent


def build(folder, *arguments):
    command = [sys.executable, "-m", "mkdocs", "build", "-d", str(folder), *arguments]
    environment = dict(os.environ, NO_MKDOCS_2_WARNING="1")
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    built = build(folder)
    assert built.returncode == 0, built.stderr
    assert "WARNING" not in built.stderr
    return folder


def test_each_page_is_there(site):
    names = [page.stem for page in ROOT.glob("docs/*.md")]
    for name in [*names, "index", "CHANGELOG", "CONTRIBUTING", "SECURITY"]:
        assert (site / f"{name}.html").is_file()
    text = (site / "index.html").read_text()
    assert 'href="docs/' not in text  # As README.md has it, for other readers.
    assert 'href="source/examples/one_page.py.html"' in text


def test_each_module_has_its_docstring(site):
    shown = "".join(page.read_text() for page in site.glob("api/*.html"))
    for file in ROOT.glob("cyclegan_jax/**/*.py"):
        name = ".".join(file.relative_to(ROOT).with_suffix("").parts)
        assert f'id="{name.removesuffix(".__init__")}"' in shown


def test_it_can_be_searched(site, open_page):
    serve = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = open_page(f"http://127.0.0.1:{server.server_port}/index.html")
        page.locator("[data-md-component=search-query]").fill("decompression bombs")
        first = page.locator(".md-search-result__link").first
        first.wait_for()
        assert "Hostile input" in page.locator(".md-search-result__list").inner_text()
        server.shutdown()


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("github-issue-forms", ".github/ISSUE_TEMPLATE/*.yml"),
        ("citation-file-format", "CITATION.cff"),
    ],
)
def test_schemas(schema, files, tmp_path):
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema"]
    check.append(f"vendor.{schema}")
    assert subprocess.run([*check, *ROOT.glob(files)], cwd=ROOT).returncode == 0
    for file in ROOT.glob(files):  # The check finds a key that does not belong there.
        bad = tmp_path / file.name
        bad.write_text(re.sub(r"\A[\w-]+:", "wrong:", file.read_text()))
        assert subprocess.run([*check, bad], capture_output=True).returncode == 1
