"""Elements of SVG and HTML; all text is escaped here."""

from __future__ import annotations

from xml.etree.ElementTree import Element, SubElement, tostring

from ..util.text import printable

SVG = "http://www.w3.org/2000/svg"


def element(parent: Element | None, tag: str, text: str = "", **attributes: str | float) -> Element:
    """Add an element with ``text``, which may come from an image, to ``parent``; return it.

    ``text_anchor=`` is written ``text-anchor=``, ``class_=`` is ``class=``; numbers are rounded
    to hundredths.
    """
    written = {
        name.rstrip("_").replace("_", "-"): printable(value)
        if isinstance(value, str)
        else f"{value:.2f}".rstrip("0").rstrip(".")
        for name, value in attributes.items()
    }
    new = Element(tag, written) if parent is None else SubElement(parent, tag, written)
    new.text = printable(text) or None
    return new


def svg_text(drawing: Element) -> str:
    """Return the text of an SVG file."""
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{tostring(drawing, encoding="unicode")}\n'


def html_text(page: Element) -> str:
    """Return the text of an HTML file."""
    return f"<!DOCTYPE html>\n{tostring(page, encoding='unicode', method='html')}\n"
