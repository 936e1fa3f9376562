"""One key per kind of vehicle, so that what customers ask for and what fleets register meet.

People write the same truck in many ways: "LCV Open|17 Feet" is "17 Feet Open" of type lcv, "9-11 Ton
Tipper" is "9-11 Ton" of type tipper, "14ft" is "14 Feet". Compared as text these never meet.
"""

from __future__ import annotations

import re
import unicodedata

_UNITS = {
    "feet": "ft",
    "foot": "ft",
    "ft": "ft",
    "ton": "t",
    "tons": "t",
    "tonne": "t",
    "tonnes": "t",
    "t": "t",
}
_SPELLINGS = {"wheelers": "wheeler", "whl": "wheeler", "axles": "axle"}
_WORD = re.compile(
    r"\d+(?:\.\d+)?|[^\W\d_]+"
)  # \d: decimal digits of any script; NFKC made the odd ones plain


def vehicle_key(vehicle_type: str, vehicle_subtype: str) -> str:
    """`("Open", "17 Feet") → "open:17ft"`. Case, punctuation, word order and units' spelling do not matter."""
    type_words = _words(vehicle_type)
    kind = set(type_words)
    sizes: list[str] = []
    names: set[str] = set()
    numbers: list[str] = []
    for word in _words(vehicle_subtype):
        if word[0].isdecimal():
            numbers.append(word)
        elif word in _UNITS.values() and numbers:
            sizes.append("-".join(numbers) + word)
            numbers = []
        elif word not in kind:
            if numbers and word == "wheeler":
                sizes.append("-".join(numbers) + word)
                numbers = []
            else:
                names.add(word)
    sizes.extend(numbers)
    return ":".join(["-".join(sorted(kind)), *sorted(sizes), *sorted(names)])


def _words(text: str) -> list[str]:
    folded = unicodedata.normalize("NFKC", text).casefold()
    words = [_number(word) if word[0].isdecimal() else word for word in _WORD.findall(folded)]
    return [_UNITS.get(word, _SPELLINGS.get(word, word)) for word in words]


def _number(digits: str) -> str:
    """ "07.50" and "7.5" are one size."""
    whole, _, fraction = digits.partition(".")
    fraction = fraction.rstrip("0")
    return (whole.lstrip("0") or "0") + (f".{fraction}" if fraction else "")
