"""Which texts of the repository make the site, and what they link to: gathered into one folder with their paths kept.

Since every page stays where it is in the repository, its links between pages hold as they are written. A file that is
linked and is no page (a template, a licence) goes along as it is.
"""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Sections of the navigation, in order, and the pages of each; "" is the top.
SECTIONS = {
    "": ("README.md",),
    "Guides": ("ui/learn/pipeline.md", "ui/learn/*.md"),
    "Operations": ("deploy/docs/*.md", "helm/retain/README.md"),
    "Taking part": ("CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"),
    "Decisions": ("ui/learn/decisions/README.md", "ui/learn/decisions/*.md"),
}
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]+`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def pages(root: Path = ROOT) -> list[Path]:
    """Every page of the site, as paths inside of the repository, in the order of SECTIONS."""
    return [page for section in SECTIONS for page in pages_of(section, root)]


def pages_of(section: str, root: Path = ROOT) -> list[Path]:
    """The pages of one section, each once."""
    found = [path.relative_to(root) for pattern in SECTIONS[section] for path in sorted(root.glob(pattern))]
    return list(dict.fromkeys(found))


def navigation(root: Path = ROOT) -> list[str | dict[str, list[str]]]:
    """The navigation in the form that mkdocs takes."""
    menu: list[str | dict[str, list[str]]] = []
    for section in SECTIONS:
        names = [str(page) for page in pages_of(section, root)]
        menu += names if not section else [{section: names}]
    return menu


def links(text: str) -> Iterator[str]:
    """Targets of the links of a page that lead to somewhere in the repository, as they are written."""
    for match in _LINK.finditer(_CODE.sub("", _FENCE.sub("", text))):
        target = match.group(1)
        if not re.match(r"[a-z]+:", target):
            yield target


def anchors(text: str) -> set[str]:
    """Anchors of a page's headings, as Markdown processors make them."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", heading.lower()).strip()) for heading in headings}


def dead_links(root: Path = ROOT) -> list[str]:
    """Links of pages that lead nowhere: no such file, or no such heading in it."""
    faults = []
    for page in pages(root):
        text = (root / page).read_text(encoding="utf-8")
        for target in links(text):
            name, _, anchor = target.partition("#")
            path = (root / page.parent / name).resolve() if name else root / page
            if not path.is_file() or not path.is_relative_to(root.resolve()):
                faults.append(f"{page}: {target}: there is no such file")
            elif anchor and anchor not in anchors(path.read_text(encoding="utf-8")):
                faults.append(f"{page}: {target}: there is no such heading")
    return faults


def gather(folder: Path, root: Path = ROOT) -> list[Path]:
    """Copies the pages and what they link to into `folder`, made anew; returns the pages."""
    shutil.rmtree(folder, ignore_errors=True)
    found = pages(root)
    for page in found:
        text = (root / page).read_text(encoding="utf-8")
        linked = {(root / page.parent / target.partition("#")[0]).resolve() for target in links(text)}
        for source in {(root / page).resolve(), *(path for path in linked if path.is_file())}:
            copy = folder / source.relative_to(root.resolve())
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, copy)
    return found
