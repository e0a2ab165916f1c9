"""The site of the guides: links that resolve, pages that are all there, pictures. `make docs` builds it strictly."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from deploy.site import pages
from deploy.site.flowchart import NotAFlowchart, parse, rows_of, svg
from deploy.site.hooks import asked_html

MERMAID = re.compile(r"^```mermaid\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SVG = "{http://www.w3.org/2000/svg}"


def test_every_link_of_the_guides_leads_somewhere() -> None:
    assert pages.dead_links() == []


def test_a_choice_opens_its_own_answer_without_a_script() -> None:
    choices = [{"text": "Yes", "why": "It is.", "right": True}, {"text": "x & y", "why": "No."}]
    asked = [{"question": "Is `a < b`?", "choices": choices}]
    html = asked_html(asked)
    assert "<strong>Is <code>a &lt; b</code>?</strong>" in html
    assert "<summary>Yes</summary>\n<p><strong>Right.</strong> It is.</p>" in html
    assert "<summary>x &amp; y</summary>\n<p><strong>No.</strong> No.</p>" in html
    root = ElementTree.fromstring(f"<body>{html.partition('## Three questions')[2]}</body>")
    assert len(list(root.iter("details"))) == 2


def test_dead_links_are_found(tmp_path: Path) -> None:
    """The check itself: a missing file, a missing heading, a way out of the repository; code and the web are let be."""
    (tmp_path / "deploy/docs").mkdir(parents=True)
    (tmp_path / "deploy/docs/here.md").write_text("# Here\n\n## What *is* here?\n")
    (tmp_path / "README.md").write_text(
        "# Top\n[a](deploy/docs/here.md#what-is-here) [b](deploy/docs/gone.md) [c](deploy/docs/here.md#gone)\n"
        "[d](#top) [e](../outside.md) [f](https://example.org/x) `[g](code.md)`\n```\n[h](fence.md)\n```\n"
    )
    (tmp_path.parent / "outside.md").write_text("# Outside\n")
    assert pages.dead_links(tmp_path) == [
        "README.md: deploy/docs/gone.md: there is no such file",
        "README.md: deploy/docs/here.md#gone: there is no such heading",
        "README.md: ../outside.md: there is no such file",
    ]


def test_every_text_of_the_folders_is_a_page_once() -> None:
    found = pages.pages()
    assert len(found) == len(set(found))
    for folder in ("ui/learn", "ui/learn/decisions", "deploy/docs"):
        there = {path.relative_to(pages.ROOT) for path in (pages.ROOT / folder).glob("*.md")}
        assert there <= set(found), folder
    (top, *sections) = pages.navigation()
    assert top == "README.md"
    listed = [name for section in sections if isinstance(section, dict) for names in section.values() for name in names]
    assert sorted([*listed, "README.md"]) == sorted(map(str, found))


def test_what_is_linked_is_gathered_with_the_pages(tmp_path: Path) -> None:
    found = pages.gather(tmp_path / "pages")
    there = {str(path.relative_to(tmp_path / "pages")) for path in (tmp_path / "pages").rglob("*") if path.is_file()}
    assert set(map(str, found)) < there
    assert {"LICENSE", "ui/templates/demo-code.yaml", "helm/retain/values.yaml"} <= there
    assert pages.dead_links(tmp_path / "pages") == []


@pytest.mark.parametrize("page", pages.pages(), ids=str)
def test_pictures_can_be_drawn(page: Path) -> None:
    """Well-formed, with each box's words and as many lines as arrows."""
    for block in MERMAID.findall((pages.ROOT / page).read_text()):
        chart, root = parse(block), ElementTree.fromstring(svg(block))
        words = " ".join(text.text or "" for text in root.iter(f"{SVG}text"))
        assert len(list(root.iter(f"{SVG}rect"))) == len(chart.boxes)
        assert len(list(root.iter(f"{SVG}polyline"))) == len(chart.arrows)
        assert all(word in words for label in chart.boxes.values() for word in label.split())


def test_boxes_stand_below_what_points_to_them_and_circles_go_back_up() -> None:
    chart = parse('flowchart TD\n a["A & B"] --> b\n b --> c["C"]\n a --> c\n c -->|again| a\n')
    assert chart.boxes == {"a": "A & B", "b": "b", "c": "C"}
    assert [arrow.remark for arrow in chart.arrows] == ["", "", "", "again"]
    assert rows_of(chart) == {"a": 0, "b": 1, "c": 2}, "where all is a circle the first box is the top"
    whole = parse('flowchart TD\n start --> a\n a["A & B"] --> b\n b --> c\n a --> c\n c -->|again| a\n')
    assert rows_of(whole) == {"start": 0, "a": 1, "b": 2, "c": 3}
    assert svg("flowchart TD\n start --> a\n a --> b\n b --> a").count("stroke-dasharray") == 1


def test_boxes_do_not_overlap() -> None:
    for page in pages.pages():
        for block in MERMAID.findall((pages.ROOT / page).read_text()):
            boxes = [
                tuple(float(rect.attrib[name]) for name in ("x", "y", "width", "height"))
                for rect in ElementTree.fromstring(svg(block)).iter(f"{SVG}rect")
            ]
            for index, (x, y, width, height) in enumerate(boxes):
                for x2, y2, width2, height2 in boxes[index + 1 :]:
                    assert x + width <= x2 or x2 + width2 <= x or y + height <= y2 or y2 + height2 <= y


@pytest.mark.parametrize("text", ["", "graph LR\n a --> b", "flowchart TD\n a -.-> b", "flowchart TD\n subgraph x"])
def test_what_is_not_understood_is_refused_by_line(text: str) -> None:
    with pytest.raises(NotAFlowchart, match=r"got .*; expected"):
        svg(text)
