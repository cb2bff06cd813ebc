"""Elements of SVG and HTML: the one place where text becomes markup, and is escaped."""

from __future__ import annotations

from xml.etree.ElementTree import Element, SubElement, tostring

from ..util.text import printable

SVG = "http://www.w3.org/2000/svg"


def element(parent: Element | None, tag: str, text: str = "", **attributes: str | float) -> Element:
    """A new element in ``parent`` that holds ``text``, which may come from an image.

    ``text_anchor=`` is written ``text-anchor=``, ``class_=`` is ``class=``; numbers are rounded
    to hundredths.
    """
    written = {
        name.rstrip("_").replace("_", "-"): printable(value)
        if isinstance(value, str)
        else f"{value:.2f}".rstrip("0").rstrip(".")
        for name, value in attributes.items()
    }
    made = Element(tag, written) if parent is None else SubElement(parent, tag, written)
    made.text = printable(text) or None
    return made


def svg_text(drawing: Element) -> str:
    """The text of an SVG file."""
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{tostring(drawing, encoding="unicode")}\n'


def html_text(page: Element) -> str:
    """The text of an HTML file."""
    return f"<!DOCTYPE html>\n{tostring(page, encoding='unicode', method='html')}\n"
