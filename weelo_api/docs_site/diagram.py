"""Draws a lifecycle as SVG: states that are not final in the left column, final states in the right column.

All transitions between the same two states share one arrow. The style sheet sets the colours, by the party that makes the
transitions.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from markupsafe import Markup, escape

from weelo_workers.lifecycles.lifecycle import Lifecycle, Transition
from weelo_workers.lifecycles.parties import PARTIES as USERS_AND_TIMER, SYSTEM

PARTIES = (*USERS_AND_TIMER, SYSTEM)
"""The parties with a colour of their own. Other arrows have the colour of several parties."""
SEVERAL = "several"

# Lengths are pixels at the drawing's natural size.
_CHARACTER = 7.9  # the width of a character in a box
_BOX_HEIGHT = 30
_GAP = 34  # the vertical distance between two boxes of the left column
_BETWEEN = 210  # the horizontal distance between the two columns
_PORT = 7  # the distance between two arrows at one side of a box
_TOP = 54  # the room above the first box, for the arrow that creates it
_LANE = 13  # the distance between two arrows that run beside a column
_MARGIN = 12
_HEAD = 7  # the length of an arrow's head
_ROUND = 7  # the radius of a corner
_LABEL_CHARACTERS = 34

_End = tuple["_Arrow", Literal["start", "end"]]


@dataclass(eq=False)
class _Box:
    state: str
    number: int
    """The number of boxes above it in its column."""
    is_final: bool
    left: list[_End] = field(default_factory=list)
    right: list[_End] = field(default_factory=list)
    x: float = 0
    y: float = 0
    width: float = 0

    @property
    def height(self) -> float:
        return max(_BOX_HEIGHT, max(len(self.left), len(self.right)) * _PORT + 10)

    @property
    def middle(self) -> float:
        return self.x + self.width / 2

    def height_of(self, end: _End) -> float:
        """Return the y coordinate at which this end of an arrow touches the box."""
        ends = self.left if end in self.left else self.right
        return self.y + self.height / 2 + (ends.index(end) - (len(ends) - 1) / 2) * _PORT


@dataclass(eq=False)
class _Arrow:
    start: _Box
    end: _Box
    transitions: list[Transition[Any]]
    lane: int = 0
    """The lane in which the arrow runs beside its column, counted from the boxes."""

    @property
    def between_columns(self) -> bool:
        return self.start.is_final != self.end.is_final

    @property
    def beside_column(self) -> bool:
        return not self.between_columns and not self.straight

    @property
    def heights(self) -> tuple[float, float]:
        """The y coordinates of the arrow's two ends."""
        return self.start.height_of((self, "start")), self.end.height_of((self, "end"))

    @property
    def straight(self) -> bool:
        """Whether the arrow leads from a box down to the next one, in the left column."""
        return not self.start.is_final and not self.end.is_final and self.end.number == self.start.number + 1

    @property
    def leads_back(self) -> bool:
        return self.start.is_final or (not self.end.is_final and self.end.number <= self.start.number)

    @property
    def party(self) -> str:
        parties = {party for transition in self.transitions for party in transition.by}
        return parties.pop() if len(parties) == 1 and parties <= {*PARTIES} else SEVERAL

    @property
    def text(self) -> str:
        made = "; ".join(f"{each.name} ({', '.join(each.by)})" for each in self.transitions)
        return f"{self.start.state} → {self.end.state}: {made}"

    @property
    def label(self) -> str:
        names = ", ".join(each.name for each in self.transitions)
        if len(names) <= _LABEL_CHARACTERS:
            return names
        return f"{self.transitions[0].name} and {len(self.transitions) - 1} more"


def draw(lifecycle: Lifecycle[Any]) -> Markup:
    """Return the drawing as an <svg> element. Its classes are those of the style sheet."""
    left, right = _columns(lifecycle)
    boxes = {box.state: box for box in (*left, *right)}
    arrows = _arrows(lifecycle, boxes)
    width, height = _place(left, right, arrows)
    shapes = [
        *_creation(boxes[lifecycle.initial], lifecycle.created_by),
        # Straight arrows are drawn last, so that no other arrow covers their labels.
        *(
            shape
            for arrow in sorted(arrows, key=lambda arrow: arrow.straight)
            for shape in _draw_arrow(arrow)
        ),
        *(shape for box in boxes.values() for shape in _draw_box(box)),
    ]
    return Markup(  # noqa: S704 - texts in it are escaped
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}" role="img"'
        f' aria-label="The states of: {escape(lifecycle.name)}">{"".join(shapes)}</svg>'
    )


def _columns(lifecycle: Lifecycle[Any]) -> tuple[list[_Box], list[_Box]]:
    columns: tuple[list[_Box], list[_Box]] = ([], [])
    for state in type(lifecycle.initial):
        column = columns[state in lifecycle.final]
        column.append(_Box(str(state), len(column), state in lifecycle.final))
    return columns


def _arrows(lifecycle: Lifecycle[Any], boxes: dict[str, _Box]) -> list[_Arrow]:
    """Return one arrow for each pair of states with a transition, and attach it to their boxes."""
    merged: dict[tuple[str, str], list[Transition[Any]]] = defaultdict(list)
    for transition in lifecycle.transitions:
        for state in boxes:
            if state in transition.when:
                merged[state, transition.to].append(transition)
    arrows = [_Arrow(boxes[start], boxes[end], transitions) for (start, end), transitions in merged.items()]
    for arrow in arrows:
        if arrow.straight:
            continue
        ends: tuple[tuple[_Box, _End], ...] = ((arrow.start, (arrow, "start")), (arrow.end, (arrow, "end")))
        for box, end in ends:
            # Arrows between the columns touch the inner side of a box, which faces the other column. Arrows within a
            # column touch the outer side.
            (box.left if box.is_final == arrow.between_columns else box.right).append(end)
    for box in boxes.values():
        for side in (box.left, box.right):
            side.sort(key=lambda end: _order(*end))
    return arrows


def _order(arrow: _Arrow, end: Literal["start", "end"]) -> tuple[int, int]:
    """Return the key that sorts the arrows' ends at one side of a box from top to bottom, so that few arrows cross."""
    own, other = (arrow.start, arrow.end) if end == "start" else (arrow.end, arrow.start)
    if arrow.between_columns:
        return other.number, 0
    # Of two arrows within a column, the shorter one runs in a lane nearer to the boxes. If both lead up, the shorter
    # one is attached above the longer one; if both lead down, below it. Otherwise the two would cross.
    distance = other.number - own.number
    return (0, -distance) if distance < 0 else (1, -distance)


def _place(left: list[_Box], right: list[_Box], arrows: list[_Arrow]) -> tuple[float, float]:
    """Set the positions of boxes and lanes, and return the width and height of the drawing."""
    total = sum(box.height for box in left) + _GAP * (len(left) - 1)
    needed = sum(box.height for box in right)
    total = max(total, needed + _GAP * (len(right) - 1))
    for column, gap, above in ((left, float(_GAP), 0.0), (right, (total - needed) / len(right), 0.5)):
        y = _TOP + gap * above
        for box in column:
            box.y = y
            y += box.height + gap
    x = float(_MARGIN)
    for column in (left, right):
        beside = [arrow for arrow in arrows if arrow.beside_column and arrow.start in column]
        lanes = _assign_lanes(beside) * _LANE + _MARGIN
        width = max(len(box.state) for box in column) * _CHARACTER + 28
        x += lanes if column is left else 0
        for box in column:
            box.x, box.width = x, width
        x += width + (_BETWEEN if column is left else lanes)
    return x + _MARGIN, _TOP + total + _MARGIN


def _assign_lanes(arrows: list[_Arrow]) -> int:
    """Give each of these arrows a lane in which no arrow overlaps it, and return the number of lanes."""
    lanes: list[list[tuple[float, float]]] = []
    for arrow in sorted(arrows, key=lambda arrow: abs(arrow.heights[0] - arrow.heights[1])):
        low, high = sorted(arrow.heights)
        for number, taken in enumerate([*lanes, []], start=1):  # noqa: B007
            if all(high < other_low or other_high < low for other_low, other_high in taken):
                break
        if number > len(lanes):
            lanes.append([])
        lanes[number - 1].append((low, high))
        arrow.lane = number
    return len(lanes)


def _creation(box: _Box, created_by: tuple[str, ...]) -> Iterator[str]:
    yield f'<circle class="begin" cx="{box.middle:.1f}" cy="12" r="6"/>'
    yield _path("edge-line", f"M{box.middle:.1f} 18V{box.y - _HEAD:.1f}")
    yield _head(box.middle, box.y, (0, 1))
    by = f"created ({' or '.join(created_by)})" if created_by else "created"
    yield f'<text class="label" x="{box.middle + 14:.1f}" y="16">{escape(by)}</text>'


def _draw_box(box: _Box) -> Iterator[str]:
    kind = "state final" if box.is_final else "state"
    yield f'<g class="{kind}"><rect x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" rx="8"/>'
    yield f'<text x="{box.middle:.1f}" y="{box.y + box.height / 2 + 4.5:.1f}">{escape(box.state)}</text></g>'


def _draw_arrow(arrow: _Arrow) -> Iterator[str]:
    back = " back" if arrow.leads_back else ""
    yield f'<g class="edge {escape(arrow.party)}{back}"><title>{escape(arrow.text)}</title>'
    if arrow.straight:
        x, top, bottom = arrow.start.middle, arrow.start.y + arrow.start.height, arrow.end.y
        line, head = f"M{x:.1f} {top:.1f}V{bottom - _HEAD:.1f}", _head(x, bottom, (0, 1))
        yield f'<text class="label" x="{x + 9:.1f}" y="{(top + bottom) / 2 + 3:.1f}">{escape(arrow.label)}</text>'
    elif arrow.between_columns:
        line, head = _line_between(arrow)
    else:
        line, head = _line_beside(arrow)
    yield _path("edge-hit", line) + _path("edge-line", line) + head + "</g>"


def _line_between(arrow: _Arrow) -> tuple[str, str]:
    """Return the path and the head of an arrow between the columns: a curve."""
    right = 1 if arrow.end.is_final else -1
    x1 = arrow.start.x + (arrow.start.width if right == 1 else 0)
    x2 = arrow.end.x + (0 if right == 1 else arrow.end.width)
    y1, y2 = arrow.heights
    bend = right * _BETWEEN * 0.45
    line = f"M{x1:.1f} {y1:.1f}C{x1 + bend:.1f} {y1:.1f} {x2 - bend:.1f} {y2:.1f} {x2 - right * _HEAD:.1f} {y2:.1f}"
    return line, _head(x2, y2, (right, 0))


def _line_beside(arrow: _Arrow) -> tuple[str, str]:
    """Return the path and the head of an arrow within a column: out to its lane, along it, and back."""
    out = 1 if arrow.start.is_final else -1
    x = arrow.start.x + (arrow.start.width if out == 1 else 0)
    lane = x + out * (_MARGIN + arrow.lane * _LANE)
    y1, y2 = arrow.heights
    down = 1 if y2 > y1 else -1
    corner = min(_ROUND, abs(y2 - y1) / 2)
    line = (
        f"M{x:.1f} {y1:.1f}H{lane - out * corner:.1f}Q{lane:.1f} {y1:.1f} {lane:.1f} {y1 + down * corner:.1f}"
        f"V{y2 - down * corner:.1f}Q{lane:.1f} {y2:.1f} {lane - out * corner:.1f} {y2:.1f}H{x + out * _HEAD:.1f}"
    )
    return line, _head(x, y2, (-out, 0))


def _path(kind: str, line: str) -> str:
    return f'<path class="{kind}" d="{line}"/>'


def _head(x: float, y: float, direction: tuple[int, int]) -> str:
    """Return an arrow's head that points at (x, y)."""
    dx, dy = direction
    back_x, back_y = x - _HEAD * dx, y - _HEAD * dy
    points = f"{x:.1f},{y:.1f} {back_x + 4 * dy:.1f},{back_y + 4 * dx:.1f} {back_x - 4 * dy:.1f},{back_y - 4 * dx:.1f}"
    return f'<polygon class="head" points="{points}"/>'
