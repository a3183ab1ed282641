"""The pages of docs/ as a site: `make docs` builds it strictly; here is what it must hold besides."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
_LOADED = re.compile(r"""<(?:script|img|link|iframe)[^>]*(?:src|href)=["'](https?:)?//([^"']+)""")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` does."""
    folder = tmp_path_factory.mktemp("site")
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def test_every_page_is_in_it_and_in_its_list(site: Path) -> None:
    """Each page of docs/, and the files above it that pages link to, are built and stand in the navigation."""
    start = (site / "index.html").read_text("utf-8")
    pages = [page.relative_to(ROOT / "docs") for page in (ROOT / "docs").rglob("*.md") if page.name != "README.md"]
    assert pages
    for page in [*pages, Path("project/security.md"), Path("project/changelog.md")]:
        built = page.with_suffix(".html")
        assert (site / built).is_file(), page
        assert f'href="{built.as_posix()}"' in start, page


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    """No script, picture, style or frame comes from another server, and no style names a font of one."""
    texts = {path: path.read_text("utf-8") for path in site.rglob("*") if path.suffix in {".html", ".css"}}
    assert texts
    loaded = {
        match[2]
        for path, text in texts.items()
        for match in _LOADED.finditer(text)
        if path.suffix == ".html" and 'rel="canonical"' not in match[0]
    }
    assert not loaded
    assert not [
        path for path, text in texts.items() if path.suffix == ".css" and re.search(r"url\(['\"]?https?:", text)
    ]


def test_links_to_what_the_site_has_not_are_words(site: Path) -> None:
    """A link to a file of the repository that is no page is its words; one to a page above docs/ leads there."""
    operate = (site / "configure-upstreams.html").read_text("utf-8")
    assert 'href="project/security.html#' in operate
    assert not re.findall(r'href="\.\./(?:gateway|deploy|tests|policies|Makefile)', operate)
