"""The pages of docs/ as a site: the order of docs/README.md, and the files above docs/ that pages link to.

Hooks of MkDocs, named in mkdocs.yml. In the repository the links lead from file to file, as GitHub
shows them; here they are turned to where the site has those files, and those to what it has not become
plain words.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
ABOVE = {name: f"project/{name.lower()}" for name in ("README.md", "SECURITY.md", "CHANGELOG.md", "CONVENTIONS.md")}
"""Files at the top of the repository, and where the site has them."""
_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)\s#]*)(#[^)\s]*)?\)")
_IMAGE = re.compile(r"!\[[^\]]*\]\(([^)\s]+)\)|<img [^>]*src=\"([^\"]+)\"[^>]*>")
_FENCE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List the pages as docs/README.md does; those that it leaves out come last."""
    docs = Path(config.docs_dir)
    index = (docs / "README.md").read_text("utf-8")
    linked = dict.fromkeys(re.findall(r"\]\(([^)#]+\.md)", index))
    listed = [page for page in linked if not page.startswith("..") and (docs / page).is_file()]
    every = sorted(path.relative_to(docs).as_posix() for path in docs.rglob("*.md"))
    rest = [page for page in every if page not in listed and page != "README.md"]
    groups: dict[str, list[str]] = {"Results": [], "Decisions": [], "More": []}
    for page in [*listed, *rest]:
        folder = page.partition("/")[0].capitalize()
        if folder in groups or page in rest:
            groups[folder if folder in groups else "More"].append(page)
    flat = [page for page in listed if page not in groups["Results"] + groups["Decisions"]]
    config.nav = [{"Start": "README.md"}, *flat]
    config.nav += [{name: pages} for name, pages in groups.items() if pages]
    config.nav += [{"Project": list(ABOVE.values())}]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files above docs/."""
    for name, place in ABOVE.items():
        files.append(File.generated(config, place, content=(ROOT / name).read_text("utf-8")))
    return files


def on_page_markdown(markdown: str, page: Page, files: Files, **_: Any) -> str:
    """Turn the links of a page to the site's places; examples in fences stay as they are."""
    origin = next((name for name, place in ABOVE.items() if place == page.file.src_uri), f"docs/{page.file.src_uri}")

    def turned(match: re.Match[str]) -> str:
        words, target, anchor = match[1], match[2], match[3] or ""
        if not target or target.startswith(("http://", "https://", "mailto:")):
            return match[0]
        place = _place(posixpath.normpath(posixpath.join(posixpath.dirname(origin), target)))
        if files.get_file_from_path(place) is None:
            return words
        return f"[{words}]({posixpath.relpath(place, posixpath.dirname(page.file.src_uri) or '.')}{anchor})"

    def shown(match: re.Match[str]) -> str:
        target = match[1] or match[2]
        place = _place(posixpath.normpath(posixpath.join(posixpath.dirname(origin), target)))
        if files.get_file_from_path(place) is None:
            return ""
        return match[0].replace(target, posixpath.relpath(place, posixpath.dirname(page.file.src_uri) or "."))

    parts = _FENCE.split(markdown)
    return "".join(
        part if place % 2 else _LINK.sub(turned, _IMAGE.sub(shown, part)) for place, part in enumerate(parts)
    )


def _place(path: str) -> str:
    """Where the site has a file of the repository."""
    return ABOVE.get(path, path.removeprefix("docs/"))
