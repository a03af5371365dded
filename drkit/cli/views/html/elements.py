"""Elements of a page: text goes in as text, whatever it holds, and comes out escaped."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree.ElementTree import Element, SubElement, tostring

from drkit.model.text import safe

LONGEST = 4000
BREAKS = re.compile(r"[\s/?-]")
MOST_ROWS, SHORT, WORD = 60, 12, 15
Part = Element | str | int | float | None


def el(tag: str, *parts: Part, **attributes: object) -> Element:
    """An element with these parts; ``class_`` is ``class``, and ``_`` stands for ``-`` in the names of attributes."""
    element = Element(
        tag, {key.rstrip("_").replace("_", "-"): safe(value, LONGEST) for key, value in attributes.items()}
    )
    for part in parts:
        add(element, part)
    return element


def add(element: Element, part: Part) -> Element:
    """Put a part behind those that are there."""
    if isinstance(part, Element):
        element.append(part)
    elif part is not None:
        text = _text(part)
        if len(element):
            element[-1].tail = (element[-1].tail or "") + text
        else:
            element.text = (element.text or "") + text
    return element


def _text(part: object) -> str:
    """Foreign text on one line; a space at either end is the page's own and stays."""
    text = str(part)
    line = safe(text, LONGEST)
    return f"{' ' if text[:1] == ' ' else ''}{line}{' ' if text[-1:] == ' ' and line else ''}"


def table(caption: str, headers: Sequence[str], rows: Sequence[Sequence[Part]], times: Sequence[int] = ()) -> Element:
    """A table with a caption; each cell names its column too, for where it stands alone. ``times``: columns that hold times.

    A long one comes in a box of its own, which scrolls; a short one stays on one printed page.
    """
    element = el("table", el("caption", caption) if caption else None, class_="short" if len(rows) <= SHORT else "")
    SubElement(element, "thead").append(el("tr", *(el("th", header, scope="col") for header in headers)))
    body = SubElement(element, "tbody")
    for row in rows:
        line = SubElement(body, "tr")
        for number, (header, cell) in enumerate(zip(headers, row, strict=True)):
            made_cell = el("td", cell if cell != "" else None, data_label=header)
            kind = "time" if number in times else "long" if _long(made_cell) else ""
            if kind:
                made_cell.set("class", kind)
            line.append(made_cell)
    if any(len(row) and _long(row[-1]) for row in body):
        element.set("class", f"{element.get('class', '')} free".strip())
    if len(rows) <= MOST_ROWS:
        return element
    return el("div", element, class_="scroll", tabindex="0", role="group", aria_label=f"{caption or 'Table'}; scrolls")


def _long(cell: Element) -> bool:
    """Whether a cell holds a word that must be broken to fit; other words stay whole, or end a line at a hyphen or a slash."""
    return any(len(word) > WORD for text in cell.itertext() for word in BREAKS.split(text))


def html(page: Element) -> str:
    """A whole document."""
    return f"<!DOCTYPE html>\n{tostring(page, encoding='unicode', method='html')}\n"
