"""Directives that make reference pages from JSON schemas.

- ``manifest-block``  a section for each key of the plugin's block, from its schema
- ``json-schema``     a table of the keys of a JSON document, from the schema in a file
- ``backings``        the values that each ``volume.backing`` supports

Titles and descriptions in the schemas are Markdown. A key without one is an error.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from bootstrapvz_sparse.plugin.backings import BACKINGS
from bootstrapvz_sparse.plugin.settings import Settings
from bootstrapvz_sparse.plugin.validation import SCHEMA
from bootstrapvz_sparse.util.text import SIZE_PATTERN

Schema = dict[str, Any]


class Markdown(SphinxDirective):
    """A directive that is replaced by Markdown."""

    def text(self) -> str:
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        return self.parsed(self.text())

    def parsed(self, text: str) -> list[nodes.Node]:
        """Return the nodes of ``text``, which must not have headings."""
        root = nodes.Element()
        lines = StringList(text.splitlines(), source=self.get_source_info()[0])
        self.state.nested_parse(lines, self.content_offset, root)
        return root.children

    def section(self, name: str, text: str) -> nodes.section:
        """Return a section about a key, with the anchor ``#name``."""
        section = nodes.section(names=[name])
        self.state.document.note_explicit_target(section, section)
        section += nodes.title("", "", nodes.literal(text=name))
        section += self.parsed(text)
        return section


def block() -> Schema:
    """Return the schema of the block."""
    schema = yaml.safe_load(SCHEMA.read_text())
    found: Schema = schema["properties"]["plugins"]["properties"]["sparse"]
    return found


def keys(schema: Schema, parent: str = "") -> Iterator[tuple[str, Schema]]:
    """Yield each key by its dotted name, parents first, with its schema."""
    for name, key in schema.get("properties", {}).items():
        yield f"{parent}{name}", key
        yield from keys(key, f"{parent}{name}.")


def one_line(value: Any) -> str:
    """Return a value in one line of YAML."""
    if isinstance(value, str):
        return value
    return yaml.safe_dump(value, default_flow_style=True, width=1000).strip().removesuffix("\n...")


def values(schema: Schema) -> str:
    """Return the allowed values."""
    if "enum" in schema:
        return ", ".join(f"`{one_line(value)}`" for value in schema["enum"])
    if "oneOf" in schema:
        return " or ".join(values(one) for one in schema["oneOf"])
    if schema.get("pattern") == SIZE_PATTERN:
        return "a size"
    kind = schema["type"]
    if kind == "array":
        of = "absolute paths" if schema["items"].get("pattern") == "^/" else "values"
        return f"a list of {of}"
    if kind == "integer" and "maximum" in schema:
        return f"a whole number from {schema['minimum']} to {schema['maximum']}"
    if kind == "object":
        return "a block of " + ", ".join(f"`{name}`" for name in schema["properties"])
    return {"boolean": "`true`, `false`", "string": "text", "integer": "a whole number"}[str(kind)]


def default(schema: Schema) -> str:
    if "default" in schema:
        return f"`{one_line(schema['default'])}`"
    parts = schema.get("properties", {}).items()
    inner = {name: part["default"] for name, part in parts if "default" in part}
    return f"`{one_line(inner)}`" if inner else "none"


def _agrees_with_settings(schema: Schema) -> None:
    """Check that the schema has the defaults of :class:`Settings`.

    :raises ValueError: they differ
    """
    given: dict[str, Any] = {}
    for dotted, key in keys(schema):
        *parents, name = dotted.split(".")
        if "default" in key:
            place = given
            for parent in parents:
                place = place.setdefault(parent, {})
            place[name] = key["default"]
    if Settings.of({"sparse": given}) != Settings():
        raise ValueError(f"{SCHEMA.name} has other defaults than settings.py")


def example(dotted: str, value: Any) -> str:
    """Return the lines of a manifest that give the key the ``value``."""
    name, *inner = dotted.split(".")
    for key in reversed(inner):
        value = {key: value}
    return f"plugins:\n  sparse:\n    {name}: {one_line(value)}"


def about(name: str, schema: Schema) -> str:
    """Return the description of a key."""
    lines = [f"**{schema['title']}.**", ""]
    lines += [f"Values: {values(schema)}. Default: {default(schema)}.", "", schema["description"]]
    for value in schema["examples"]:
        lines += ["```yaml", example(name, value), "```", ""]
    return "\n".join(lines)


class ManifestBlock(Markdown):
    def run(self) -> list[nodes.Node]:
        schema = block()
        _agrees_with_settings(schema)
        self.env.note_dependency(str(SCHEMA))
        found = dict(keys(schema))
        lines = [schema["description"], "| key | values | default | meaning |", "|---|---|---|---|"]
        for name, key in found.items():
            cells = f"[`{name}`](#{name}) | {values(key)} | {default(key)} | {key['title']}"
            lines.append(f"| {cells} |")
        sections: dict[str, nodes.section] = {}
        for name, key in found.items():
            sections[name] = self.section(name, about(name, key))
            parent = name.rpartition(".")[0]
            if parent:
                sections[parent] += sections[name]
        outer = [section for name, section in sections.items() if "." not in name]
        return [*self.parsed("\n".join(lines)), *outer]


def _type(schema: Schema) -> str:
    if "enum" in schema:
        return ", ".join(f"`{json.dumps(value)}`" for value in schema["enum"])
    kinds = schema["type"]
    return " or ".join([kinds] if isinstance(kinds, str) else kinds)


def rows(schema: Schema, parent: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield path, type and meaning of each key of the document."""
    for name, key in schema.get("properties", {}).items():
        path = f"{parent}{name}"
        yield path, _type(key), key["description"].strip()
        yield from rows(key, f"{path}.")
        yield from rows(key.get("items", {}), f"{path}[].")


class JsonSchema(Markdown):
    required_arguments = 1

    def text(self) -> str:
        relative, absolute = self.env.relfn2path(self.arguments[0])
        self.env.note_dependency(relative)
        schema = json.loads(Path(absolute).read_text())
        lines = [schema["description"], "", "| key | type | meaning |", "|---|---|---|"]
        lines += [f"| `{path}` | {kind} | {text} |" for path, kind, text in rows(schema)]
        return "\n".join(lines)


class Backings(Markdown):
    def text(self) -> str:
        lines = ["| `volume.backing` | `reclaim` | `sparsify` |", "|---|---|---|"]
        for name, backing in BACKINGS.items():
            reclaim, sparsify = (
                ", ".join(f"`{value}`" for value in able)
                for able in (backing.reclaim, backing.sparsify)
            )
            lines.append(f"| `{name}` | {reclaim} | {sparsify} |")
        return "\n".join(lines)


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("manifest-block", ManifestBlock)
    app.add_directive("json-schema", JsonSchema)
    app.add_directive("backings", Backings)
    return {"parallel_read_safe": True}
