"""What mkdocs shows beside docs/: other pages, linked sources, and the API.

Links are written for readers of the repository, relative to the file that has them.
Those that lead out of docs/ are rewritten here: README.md is the first page, the other
pages keep their names, and each linked source file has a page that shows it.
"""

import ast
import json
import pathlib
import posixpath
import re

import griffe
from mkdocs.structure.files import File

ROOT = pathlib.Path(__file__).parent.parent
PAGES = {
    "README.md": "index.md",
    "examples/tour.ipynb": "tour.md",
    **{name: name for name in ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")},
}
# What users import first, first; others follow. "" is the top of the package.
_ORDER = (
    "",
    "translation",
    "runs",
    "training",
    "evaluation",
    "metrics",
    "data",
    "core",
)
_LINK = re.compile(r"\]\((?P<path>[^)\s#:]+)(?P<anchor>#[^)\s]*)?\)")
_API = """# API

Public classes and functions, by package, from their docstrings. To use a trained run,
start with [`Translator`][cyclegan_jax.translation.translator.Translator].

"""


def on_config(config):
    """Adds the API pages to the navigation."""
    section = next(entry for entry in config.nav if "API" in entry)
    section["API"] = [
        "api/index.md",
        *({name: f"api/{name}.md"} for name in _packages()),
    ]
    return config


def on_files(files, config):
    """Adds the pages that are not in docs/."""
    made = {site: _markdown(name) for name, site in PAGES.items()}
    for path, content in (made | _api() | _sources()).items():
        files.append(File.generated(config, path, content=content))
    return files


def _markdown(name):
    """The text of a file, or of a notebook's cells."""
    text = (ROOT / name).read_text()
    if not name.endswith(".ipynb"):
        return text
    cells = json.loads(text)["cells"]
    title, *rest = [
        f"```python\n{source}\n```" if cell["cell_type"] == "code" else source
        for cell in cells
        if (source := "".join(cell["source"]))
    ]
    note = f"*This page is the notebook `{name}`, not executed.*"
    return "\n\n".join([title, note, *rest])


def on_page_markdown(markdown, page, **_):
    """Rewrites links that lead out of docs/."""
    site = page.file.src_uri
    here = next((name for name, uri in PAGES.items() if uri == site), f"docs/{site}")

    def rewrite(link):
        path = posixpath.join(posixpath.dirname(here), link["path"])
        path = posixpath.normpath(path)
        if not (ROOT / path).is_file():
            return link[0]  # mkdocs reports it.
        there = posixpath.relpath(_on_site(path), posixpath.dirname(site) or ".")
        return f"]({there}{link['anchor'] or ''})"

    return _LINK.sub(rewrite, markdown)


def _on_site(path):
    """Where a file of the repository is on the site."""
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return PAGES.get(path, f"source/{path}.md")


def _sources():
    """A page for each source file that a page links to."""
    pages = {}
    for page in (*(ROOT / "docs").glob("*.md"), *(ROOT / name for name in PAGES)):
        for link in _LINK.finditer(_markdown(str(page.relative_to(ROOT)))):
            file = (page.parent / link["path"]).resolve()
            if not file.is_file() or not file.is_relative_to(ROOT):
                continue
            name = str(file.relative_to(ROOT))
            if (site := _on_site(name)).startswith("source/"):
                language = file.suffix.lstrip(".").replace("cff", "yaml")
                pages[site] = (
                    f"---\nsearch: {{exclude: true}}\n---\n# {name}\n\n"
                    f"````{language}\n{file.read_text()}````\n"
                )
    return pages


def _packages():
    """Name of the API page -> the files with what it shows."""
    top = ROOT / "cyclegan_jax"
    files = {path.name: sorted(path.rglob("*.py")) for path in top.iterdir()}
    files = {name: found for name, found in files.items() if found}
    files[""] = sorted(top.glob("*.py"))
    order = [*_ORDER, *sorted(set(files) - set(_ORDER))]
    return {name or "cyclegan_jax": files[name] for name in order}


def _api():
    """A page for each package, with the public names of its modules, and a list."""
    pages, listed = {}, []
    for name, files in _packages().items():
        about = ast.get_docstring(ast.parse(files[0].read_text())) or ""
        listed.append(f"- [`{name}`]({name}.md): {about.splitlines()[0]}\n")
        blocks = []
        for level, file in enumerate(files, 1):
            parts = file.relative_to(ROOT).with_suffix("").parts
            module = ".".join(parts).removesuffix(".__init__")
            blocks.append(
                f"::: {module}\n    options: {{heading_level: {min(level, 2)}}}"
            )
        pages[f"api/{name}.md"] = "\n\n".join(blocks)
    pages["api/index.md"] = _API + "".join(listed)
    return pages


class ModuleDocstrings(griffe.Extension):
    """Keeps what is indented in modules' docstrings: their commands."""

    def on_module_instance(self, *, node, mod, **_):
        """Called by griffe, whose own cleaning removes a common indentation."""
        if mod.docstring:
            mod.docstring.value = ast.get_docstring(node, clean=False)
