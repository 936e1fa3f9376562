"""The pages of `/docs`: they are complete, their links lead somewhere, and their files are in the wheel."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import lru_cache
from html import unescape

import pytest
from werkzeug.test import TestResponse

from tests.architecture import vendor
from tests.architecture.api import app, asyncapi
from tests.architecture.documents import LIFECYCLES
from tests.support.sources import ROOT
from weelo_api.docs_site import assets
from weelo_api.docs_site.diagram import draw
from weelo_api.docs_site.events import ABOUT
from weelo_api.docs_site.pages import PAGES
from weelo_api.docs_site.schema import fields, resolve
from weelo_api.docs_site.text import with_code
from weelo_api.websocket.close_codes import CloseCode
from weelo_workers.contracts.rejections import Code

ADDRESSES = [page.address for page in PAGES]
each_page = pytest.mark.parametrize("address", ADDRESSES)


def get(path: str, **headers: str) -> TestResponse:
    return app().test_client().get(path, headers=headers)


@lru_cache
def html(address: str) -> str:
    response = get(address)
    assert response.status_code == 200
    return response.text


def ids(address: str) -> list[str]:
    return re.findall(r'\bid="([^"]+)"', html(address))


# --- every page -----------------------------------------------------------------------------------------


@each_page
def test_a_page_may_load_files_of_this_server_only_and_run_no_script_of_its_own(address: str) -> None:
    policy = dict(
        directive.split(" ", 1) for directive in get(address).headers["Content-Security-Policy"].split("; ")
    )
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    # The API viewer sets style attributes, which a browser allows only with 'unsafe-inline'. No other page needs them.
    assert ("'unsafe-inline'" in policy["style-src"]) == (address == "/docs/http")
    assert not re.findall(r"<script(?![^>]* src=)|<style|\bstyle=|\bon\w+=|javascript:", html(address))
    assert not re.findall(r"""(?:src|href)=["'](?:https?:)?//""", html(address))


@each_page
def test_every_link_leads_to_a_page_and_to_an_anchor_that_exists(address: str) -> None:
    for link in re.findall(r'href="([^"]+)"', html(address)):
        path, _, anchor = unescape(link).partition("#")
        if path.startswith("data:"):
            continue
        assert get(path or address).status_code == 200, link
        if anchor:
            assert anchor in ids(path or address), link


@each_page
def test_an_anchor_is_on_a_page_once(address: str) -> None:
    assert len(set(ids(address))) == len(ids(address))


@each_page
def test_a_page_is_asked_for_again_and_sent_again_only_if_it_has_changed(address: str) -> None:
    first = get(address)
    assert first.headers["Cache-Control"] == "no-cache"
    again = get(address, **{"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


def test_a_page_that_does_not_exist_is_a_problem() -> None:
    for path in ("/docs/nothing", "/docs/base", "/swagger", "/docs/assets/0/docs.css", "/docs/assets/x/y"):
        response = get(path)
        assert (response.status_code, response.get_json()["code"]) == (404, "NOT_FOUND")


# --- files ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(assets.NAMES))
def test_a_file_may_be_kept_for_ever_under_an_address_with_its_hash(name: str) -> None:
    address = assets.address(name)
    for coding in ("gzip", "gzip;q=0, *;q=0", ""):
        response = get(address, **{"Accept-Encoding": coding})
        assert response.status_code == 200
        assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        compressed = response.headers.get("Content-Encoding") == "gzip"
        assert compressed == (response.data[:2] == b"\x1f\x8b")
        assert not compressed or coding == "gzip"


def test_the_vendored_viewer_is_the_file_of_the_manifest() -> None:
    assert vendor.digest(vendor.stored()) == vendor.manifest()["sha256"]
    served = get(assets.address("scalar-api-reference.js"), **{"Accept-Encoding": "identity"})
    assert vendor.digest(served.data) == vendor.manifest()["sha256"]


def test_the_licence_of_the_viewer_is_beside_it() -> None:
    assert vendor.manifest()["licence"] == "MIT"
    assert "Permission is hereby granted" in (vendor.FOLDER / "LICENSE.scalar.txt").read_text()


@pytest.mark.parametrize(
    "switch",
    [
        "telemetry: false",
        "withDefaultFonts: false",
        "agent: { disabled: true }",
        "mcp: { disabled: true }",
        "hideClientButton: true",
        "hideDarkModeToggle: true",
        "persistAuth: false",
    ],
)
def test_what_the_viewer_would_load_or_send_elsewhere_is_switched_off(switch: str) -> None:
    assert switch in get(assets.address("http.js")).text


def test_the_wheel_contains_every_file_of_the_pages() -> None:
    listing = (
        "from setuptools import Distribution; d = Distribution(); d.parse_config_files(); "
        "build = d.get_command_obj('build_py'); build.ensure_finalized(); "
        "print(*(f'{p.replace(chr(46), chr(47))}/{file}' for p, _, _, files in build.data_files for file in files), sep='\\n')"
    )
    built = subprocess.run(
        [sys.executable, "-c", listing], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    folder = ROOT / "weelo_api" / "docs_site"
    there = [path for path in folder.rglob("*") if path.is_file() and path.suffix not in {".py", ".pyc"}]
    assert len(there) > 10
    assert {str(path.relative_to(ROOT)) for path in there} <= set(built)


# --- codes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", list(Code), ids=lambda code: code.name)
def test_a_code_has_an_entry_with_cause_and_remedy(code: Code) -> None:
    [entry] = re.findall(
        rf'<article class="code" id="{code.name}">(.*?)</article>', html("/docs/codes"), re.DOTALL
    )
    for text in (code.title, code.cause, code.remedy):
        assert len(text) > 5
        assert str(with_code(text)) in entry
    assert code.cause.endswith(".") and code.remedy.endswith(".")
    assert ("retryable" in entry) == code.retryable


def test_the_entries_of_codes_are_sorted_by_status() -> None:
    page = html("/docs/codes")
    statuses = [int(status) for status in re.findall(r'<h2 id="status-(\d+)"', page)]
    assert statuses == sorted({code.http_status for code in Code})
    for status, part in zip(statuses, page.split("<h2 ")[1:], strict=True):
        expected = {code.name for code in Code if code.http_status == status}
        assert set(re.findall(r'<article class="code" id="(\w+)"', part)) == expected


# --- lifecycles -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LIFECYCLES)
def test_a_lifecycle_is_drawn_and_listed_completely(name: str) -> None:
    lifecycle, states = LIFECYCLES[name]
    drawing = str(draw(lifecycle))
    assert drawing in html("/docs/lifecycles")
    assert re.findall(r'<g class="state(?: final)?">.*?<text[^>]*>([^<]+)<', drawing) == [
        state for final in (False, True) for state in states if (state in lifecycle.final) is final
    ]
    drawn = set(re.findall(r"<title>(\w+) → (\w+): ", drawing))
    assert drawn == {(str(start), str(end)) for start, end, _ in lifecycle.arrows()}
    assert drawing.count("<title>") == len(drawn)
    for transition in lifecycle.transitions:
        assert f"{transition.name} ({', '.join(transition.by)})" in drawing
        assert f"<td><code>{transition.name}</code></td>" in html("/docs/lifecycles")


@pytest.mark.parametrize("name", LIFECYCLES)
def test_no_shape_of_a_drawing_is_outside_of_it(name: str) -> None:
    drawing = str(draw(LIFECYCLES[name][0]))
    [(width, height)] = re.findall(r'viewBox="0 0 (\d+) (\d+)"', drawing)
    for x, y, wide, high in re.findall(
        r'<rect x="([\d.-]+)" y="([\d.-]+)" width="([\d.]+)" height="([\d.]+)"', drawing
    ):
        assert float(x) >= 0 and float(x) + float(wide) <= int(width)
        assert float(y) >= 0 and float(y) + float(high) <= int(height)
    for points in re.findall(r'points="([^"]+)"', drawing):
        for point in points.split():
            x, y = point.split(",")
            assert 0 <= float(x) <= int(width) and 0 <= float(y) <= int(height)


# --- the socket -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(asyncapi()["components"]["messages"]))
def test_a_message_has_an_entry_with_its_fields(name: str) -> None:
    [entry] = re.findall(
        rf'<article class="message" id="{name}">(.*?)</article>', html("/docs/events"), re.DOTALL
    )
    message = asyncapi()["components"]["messages"][name]
    payload = resolve(asyncapi(), message["payload"])
    shown = payload["properties"].get("data", payload)
    # The page is made by the function `fields`. The test reads the schema itself: a field that the function overlooks
    # would otherwise be missing in both lists, and the test would pass.
    names = {*resolve(asyncapi(), shown)["properties"]} - {"op"}
    listed = set(re.findall(r'<code class="name">(\w+)</code>', entry))
    if "about a broadcast" in entry:
        assert {"broadcastId", "version"} <= names
        names -= {*ABOUT}
    assert names <= listed
    assert entry.count('class="example"') == len(message.get("examples", ()))


def test_a_schema_that_contains_itself_ends() -> None:
    document = {
        "s": {"properties": {"child": {"$ref": "#/s"}, "name": {"type": "string"}}, "required": ["name"]}
    }
    child, name = fields(document, {"$ref": "#/s"})
    assert (child.below, child.required, name.required) == ((), False, True)


@pytest.mark.parametrize("keyword", ["allOf", "anyOf", "oneOf"])
def test_the_fields_of_an_object_are_shown_beside_rules_about_them(keyword: str) -> None:
    rule = {"if": {"properties": {"a": {"const": 1}}}, "then": {"required": ["b"]}}
    schema = {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "string"}},
        keyword: [rule, {"required": ["a"]}],
    }
    document = {"s": {"properties": {"child": schema}}}
    [child] = fields(document, {"$ref": "#/s"})
    assert (child.kind, [each.name for each in child.below]) == ("object", ["a", "b"])


def test_each_of_several_objects_has_an_entry_of_its_own() -> None:
    one = {"properties": {"a": {"type": "string"}}}
    document = {"One": one, "Two": {"properties": {"b": {"enum": [1, 2]}}}}
    choice = {"anyOf": [{"$ref": "#/One"}, {"$ref": "#/Two"}, {"type": "null"}]}
    assert [(each.name, [below.name for below in each.below]) for each in fields(document, choice)] == [
        ("One", ["a"]),
        ("Two", ["b"]),
    ]
    assert [each.name for each in fields(document, {"anyOf": [one, {"type": "null"}]})] == ["a"]


def test_the_page_has_every_close_code() -> None:
    page = html("/docs/socket")
    assert {int(code) for code in re.findall(r'id="close-(\d+)"', page)} == {*CloseCode}
    for each in CloseCode:
        assert str(with_code(each.meaning)) in page
        assert str(with_code(each.remedy)) in page
