"""Nobody who follows a link of the documents ends nowhere; `make docs` holds the same of the built site."""

from pathlib import Path

import pytest

from tests.markdown import ROOT, anchors, documents, links

CHANGES = ROOT / "CHANGELOG.md"


def broken(page: Path) -> list[str]:
    """Links of a page that lead to no file, or to no heading of one."""
    found = []
    for link in links(page):
        if link.startswith(("https://", "http://", "mailto:")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            found.append(link)
    return found


@pytest.mark.parametrize("page", [*documents(), CHANGES], ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    """Each relative link of a page names a file that is there, and a heading in it where it names one."""
    assert broken(page) == []


def test_a_dead_link_is_found(tmp_path: Path) -> None:
    """A page that is missing, a heading that is missing and one that was renamed are all dead, and code is no link."""
    (tmp_path / "there.md").write_text("# There\n\n## A `heading`, with (signs)\n\n```text\n# no heading\n```\n")
    page = tmp_path / "page.md"
    page.write_text(
        "# Page\n[a](there.md) [b](there.md#a-heading-with-signs) [c](#page) [d](https://example.org/x)\n"
        "[e](missing.md) [f](there.md#no-heading) [g](#pages) `[h](code.md)`\n\n```text\n[i](fenced.md)\n```\n"
    )
    assert broken(page) == ["missing.md", "there.md#no-heading", "#pages"]


def test_there_are_links_to_follow() -> None:
    """A rule that looked at nothing would find nothing."""
    assert sum(len(links(page)) for page in documents()) > 150
