"""Flowcharts in Mermaid's notation, as far as the guides use it, drawn as SVG.

The site may load nothing from outside, and Mermaid's own program is three megabytes of JavaScript; a dozen boxes with
arrows need neither. What is understood:

    flowchart TD
        name["a label"] --> other
        name -->|a remark| third["a label"]

Boxes are placed in rows by their longest way from a box that nothing points to; an arrow that closes a circle is drawn
backwards. Anything else is refused by line, so that no picture is silently half drawn.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

_NAME = r"[A-Za-z_][A-Za-z0-9_.]*"
_BOX = rf'({_NAME})(?:\["([^"]+)"\])?'
_ARROW = re.compile(rf"^{_BOX}\s*-->\s*(?:\|([^|]+)\|\s*)?{_BOX}$")
LETTER, LINE, PADDING = 7.3, 18, 12  # pixels: width of a letter, height of a line, around a label
GAP_X, GAP_Y, LETTERS = 28, 46, 24  # between boxes; letters of a label's line


class NotAFlowchart(ValueError):
    """Text that this file does not understand. The message names the line."""


@dataclass(frozen=True, kw_only=True)
class Arrow:
    """One arrow, with its remark."""

    tail: str
    head: str
    remark: str = ""


@dataclass(kw_only=True)
class Flowchart:
    """Boxes by name with their labels, in the order in which they come, and arrows."""

    boxes: dict[str, str] = field(default_factory=dict)
    arrows: list[Arrow] = field(default_factory=list)


def parse(text: str) -> Flowchart:
    """The chart that a text describes. Raises NotAFlowchart."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    if not lines or lines[0] != "flowchart TD":
        raise NotAFlowchart(f"got {lines[0] if lines else 'nothing'!r}; expected 'flowchart TD'")
    chart = Flowchart()
    for line in lines[1:]:
        found = _ARROW.match(line)
        if found is None:
            raise NotAFlowchart(f'got {line!r}; expected NAME["label"] -->|remark| NAME["label"]')
        tail, tail_label, remark, head, head_label = found.groups()
        for name, label in ((tail, tail_label), (head, head_label)):
            chart.boxes[name] = label or chart.boxes.get(name, name)
        chart.arrows.append(Arrow(tail=tail, head=head, remark=remark or ""))
    return chart


def rows_of(chart: Flowchart) -> dict[str, int]:
    """The row of each box: 0 where nothing points to it (the first box, if something does to all), else one below the
    lowest that points to it."""
    heads = defaultdict(list)
    for arrow in chart.arrows:
        heads[arrow.tail].append(arrow.head)
    rows = dict.fromkeys(chart.boxes, 0)

    def lower(name: str, row: int, above: tuple[str, ...]) -> None:
        if name in above:
            return  # a circle: this arrow goes back up
        if row >= rows[name]:
            rows[name] = row
            for head in heads[name]:
                lower(head, row + 1, (*above, name))

    pointed_to = {arrow.head for arrow in chart.arrows}
    first = [name for name in chart.boxes if name not in pointed_to] or list(chart.boxes)[:1]
    for name in first:
        lower(name, 0, ())
    return rows


@dataclass(frozen=True, kw_only=True)
class _Box:
    """A box in pixels: its middle at the top, its size, its lines."""

    x: float
    y: float
    width: float
    height: float
    lines: tuple[str, ...]


def svg(text: str) -> str:
    """The picture of a chart, as wide as its widest row; colours follow the page's text. Raises NotAFlowchart."""
    chart = parse(text)
    boxes, width, height = _placed(chart)
    back = [arrow for arrow in chart.arrows if boxes[arrow.head].y <= boxes[arrow.tail].y]
    side, sides = max(box.x + box.width / 2 for box in boxes.values()) + GAP_X, {}
    for arrow in reversed(back):  # each remark stands to the right of its line
        sides[arrow] = side
        side += GAP_X + LETTER * len(arrow.remark)
    width = max(width, side)
    parts = [
        f'<svg class="flowchart" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" role="img" '
        'xmlns="http://www.w3.org/2000/svg" font-family="sans-serif" font-size="13" '
        'style="max-width: 100%; height: auto">',
        f"<title>{escape('; '.join(_said(chart, arrow) for arrow in chart.arrows))}</title>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" '
        'orient="auto"><path d="M0 0 L8 4 L0 8 Z" fill="currentColor"/></marker></defs>',
    ]
    parts += [_up(arrow, boxes, sides[arrow]) if arrow in sides else _down(arrow, boxes) for arrow in chart.arrows]
    parts += [_box(box) for box in boxes.values()]
    return "\n".join([*parts, "</svg>"])


def _said(chart: Flowchart, arrow: Arrow) -> str:
    remark = f" ({arrow.remark})" if arrow.remark else ""
    return f"{chart.boxes[arrow.tail]} -> {chart.boxes[arrow.head]}{remark}"


def _wrapped(label: str) -> tuple[str, ...]:
    lines = [""]
    for word in label.split():
        longer = f"{lines[-1]} {word}".strip()
        if len(longer) > LETTERS and lines[-1]:
            lines.append(word)
        else:
            lines[-1] = longer
    return tuple(lines)


def _placed(chart: Flowchart) -> tuple[dict[str, _Box], float, float]:
    """Every box, and width and height of the picture. Within a row, boxes stand in the order of those above them."""
    rows = rows_of(chart)
    levels: list[list[str]] = [[] for _ in range(max(rows.values()) + 1)]
    for name, row in rows.items():
        levels[row].append(name)
    place: dict[str, float] = {}
    for level in levels:
        above = {name: [place[a.tail] for a in chart.arrows if a.head == name and a.tail in place] for name in level}
        level.sort(key=lambda name: sum(above[name]) / len(above[name]) if above[name] else 0.5)
        place |= {name: (index + 0.5) / len(level) for index, name in enumerate(level)}
    sizes = {name: _wrapped(label) for name, label in chart.boxes.items()}
    wide = {name: 2 * PADDING + LETTER * max(map(len, lines)) for name, lines in sizes.items()}
    widths = [sum(wide[name] for name in level) + GAP_X * (len(level) + 1) for level in levels]
    boxes, y = {}, PADDING
    for level, taken in zip(levels, widths, strict=True):
        x = (max(widths) - taken) / 2 + GAP_X
        for name in level:
            height = LINE * len(sizes[name]) + PADDING
            boxes[name] = _Box(x=x + wide[name] / 2, y=y, width=wide[name], height=height, lines=sizes[name])
            x += wide[name] + GAP_X
        y += LINE * max(len(sizes[name]) for name in level) + PADDING + GAP_Y
    return boxes, max(widths), y - GAP_Y + PADDING


def _box(box: _Box) -> str:
    lines = "".join(
        f'<text x="{box.x:.0f}" y="{box.y + PADDING / 2 + LINE * (index + 0.72):.0f}" text-anchor="middle" '
        f'fill="currentColor">{escape(line)}</text>'
        for index, line in enumerate(box.lines)
    )
    left, size = box.x - box.width / 2, f'width="{box.width:.0f}" height="{box.height:.0f}"'
    look = 'rx="6" fill="var(--md-default-bg-color, white)" stroke="currentColor"'
    return f'<rect x="{left:.0f}" y="{box.y:.0f}" {size} {look}/>{lines}'


def _down(arrow: Arrow, boxes: dict[str, _Box]) -> str:
    """From the bottom of a box to the top of another one."""
    tail, head = boxes[arrow.tail], boxes[arrow.head]
    bottom = tail.y + tail.height
    line = _line([(tail.x, bottom), (head.x, head.y)])
    return line + _remark(arrow, (tail.x + head.x) / 2, (bottom + head.y) / 2, "middle")


def _up(arrow: Arrow, boxes: dict[str, _Box], side: float) -> str:
    """Back up, in dashes, beside all boxes that lie between; `side` is where, in pixels."""
    tail, head = boxes[arrow.tail], boxes[arrow.head]
    y_tail, y_head = tail.y + tail.height / 2, head.y + head.height / 2
    ends = (tail.x + tail.width / 2, y_tail), (head.x + head.width / 2, y_head)
    line = _line([ends[0], (side, y_tail), (side, y_head), ends[1]], look=' stroke-dasharray="4 3"')
    return line + _remark(arrow, side + 5, y_head + LINE, "start")


def _line(points: Sequence[tuple[float, float]], *, look: str = "") -> str:
    way = " ".join(f"{x:.0f},{y:.0f}" for x, y in points)
    return f'<polyline points="{way}" fill="none" stroke="currentColor"{look} marker-end="url(#tip)"/>'


def _remark(arrow: Arrow, x: float, y: float, anchor: str) -> str:
    if not arrow.remark:
        return ""
    look = f'text-anchor="{anchor}" fill="currentColor" font-size="11" font-style="italic"'
    return f'<text x="{x:.0f}" y="{y:.0f}" {look}>{escape(arrow.remark)}</text>'
