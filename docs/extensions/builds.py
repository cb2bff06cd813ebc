"""Directives that show the tasks of the plugin and the repairs of the upstream layer.

- ``task-graph MANIFEST``  our tasks among bootstrap-vz's own, drawn by graphviz
- ``repairs``              a row for each repair of the upstream layer
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.ext.graphviz import figure_wrapper, graphviz
from sphinx.util.docutils import SphinxDirective

from bootstrapvz_sparse import upstream
from bootstrapvz_sparse.upstream import registry, translate

from .schemas import Markdown

OURS = "bootstrapvz_sparse."
HEAD = """
digraph tasks {
  graph [rankdir=LR, newrank=true, bgcolor="#ffffff", nodesep=0.18, ranksep=0.35, pad=0.15]
  node [shape=box, style="filled,rounded", fontname="Helvetica,Arial,sans-serif", fontsize=11,
        height=0.34, margin="0.10,0.04", color="#8a94a0", fillcolor="#f2f4f6"]
  edge [color="#5c6670", arrowsize=0.6, fontname="Helvetica,Arial,sans-serif", fontsize=9,
        fontcolor="#555555"]
"""
OUR_STYLE = 'fillcolor="#cfe8cf", color="#2f7d32"'
REPLACED_STYLE = 'style="rounded,dashed", fontcolor="#777777"'
PHASE_STYLE = 'shape=plaintext, style="", width=2.1, fontcolor="#333333"'


class Build:
    """The tasks of a manifest, in order, and their predecessors."""

    def __init__(self, manifest: Path) -> None:
        upstream.install()
        from bootstrapvz.common import phases

        data = yaml.safe_load(manifest.read_text())
        self.tasks = _scheduled(data)
        self.phases: list[Any] = phases.order
        self.ours = [task for task in self.tasks if is_ours(task)]
        del data["plugins"]["sparse"]
        self.replaced = [task for task in _scheduled(data) if task not in self.tasks]

    def edges(self) -> Iterator[tuple[Any, Any]]:
        """Yield pairs of tasks, the earlier first; one is ours and names the other."""
        for task in self.ours:
            yield from ((other, task) for other in task.predecessors if other in self.tasks)
            for other in task.successors:
                if other in self.replaced:  # what came after it comes after ours
                    yield from ((task, after) for after in self.after(other))
                elif other in self.tasks:
                    yield task, other

    def after(self, replaced: Any) -> Iterator[Any]:
        """Yield the tasks of the build that come right after a ``replaced`` one."""
        for task in self.tasks:
            if replaced in task.predecessors or task in replaced.successors:
                yield task


def _scheduled(data: dict[str, Any]) -> list[Any]:
    """Return the tasks of a manifest, in the order in which they are run."""
    from bootstrapvz.base.bootstrapinfo import BootstrapInformation
    from bootstrapvz.base.manifest import Manifest
    from bootstrapvz.base.tasklist import TaskList, load_tasks

    logging.getLogger("bootstrapvz").setLevel(logging.WARNING)  # not each task
    manifest = Manifest(data=data)
    tasks = TaskList(load_tasks("resolve_tasks", manifest))
    tasks.run(info=BootstrapInformation(manifest=manifest), dry_run=True)
    found: list[Any] = tasks.tasks_completed
    return found


def is_ours(task: Any) -> bool:
    return bool(task.__module__.startswith(OURS))


def name(task: Any) -> str:
    return f"{task.__module__.rpartition('.')[2]}.{task.__name__}"


def _node(task: Any, style: str = "") -> str:
    return f'"{name(task)}" [tooltip="{task.description}"{style and ", "}{style}]'


def _needed(edges: set[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """Return the ``edges`` that do not follow from two others."""
    follow = {(a, d) for a, b in edges for c, d in edges if b is c}
    return sorted(edges - follow, key=lambda edge: [name(task) for task in edge])


def dot(manifest: Path) -> str:
    """Return the picture: a row for each phase, with our tasks and their neighbours."""
    build = Build(manifest)
    edges = _needed(set(build.edges()))
    shown = {task for edge in edges for task in edge} | set(build.ours) | set(build.replaced)
    lines = [HEAD]
    for number, phase in enumerate(build.phases):
        # in the order in which they are run
        here = [task for task in build.tasks if task.phase is phase]
        row = [task for task in here if task in shown]
        row += [task for task in build.replaced if task.phase is phase]
        rest = len(here) - len([task for task in row if task in here])
        more = f"{rest} {'more ' if row else ''}of bootstrap-vz" if rest else ""
        label = f"<<b>{phase.name}</b>{f'<br/>{more}' if more else ''}>"
        lines.append(f'"p{number}" [label={label}, {PHASE_STYLE}]')
        for task in row:
            style = OUR_STYLE if is_ours(task) else REPLACED_STYLE if task not in here else ""
            lines.append(_node(task, style))
        if row:
            lines.append(f'"p{number}" -> "{name(row[0])}" [style=invis]')
    lines.append("{rank=same; " + " -> ".join(f'"p{n}"' for n in range(len(build.phases))) + "}")
    for first, then in edges:
        constraint = "" if first.phase is then.phase else " [constraint=false]"
        lines.append(f'"{name(first)}" -> "{name(then)}"{constraint}')
    for task in build.ours:
        for other in task.successors:
            if other in build.replaced:
                lines.append(
                    f'"{name(task)}" -> "{name(other)}" [style=dashed, arrowhead=none, '
                    'label="in place of"]'
                )
    return "\n".join([*lines, "}"])


class TaskGraph(SphinxDirective):
    required_arguments = 1
    has_content = False

    def run(self) -> list[nodes.Node]:
        relative, absolute = self.env.relfn2path(self.arguments[0])
        self.env.note_dependency(relative)
        node = graphviz()
        node["code"], node["options"] = dot(Path(absolute)), {"docname": self.env.docname}
        node["alt"] = "The tasks of the plugin among those of bootstrap-vz, by phase"
        return [figure_wrapper(self, node, node["alt"])]


def repair_rows() -> Iterator[tuple[str, ...]]:
    """Yield modules of bootstrap-vz, the repair, its reason, and whether the fork needs it."""
    modules: dict[Any, list[str]] = {}
    for (module, _), repair in registry.REPAIRS.items():
        modules.setdefault(repair, []).append(f"`{module.removeprefix('bootstrapvz.')}`")
    for (function, fork_too), names in sorted(modules.items(), key=lambda item: item[1]):
        assert function.__doc__, function
        line = " ".join(function.__doc__.partition("\n\n")[0].split())
        yield ", ".join(names), f"`{function.__name__}`", line, "yes" if fork_too else ""


class Repairs(Markdown):
    def text(self) -> str:
        lines = ["| module | repair | what it does: what breaks without it | maintained too |"]
        lines += ["|---|---|---|---|"]
        lines += [f"| {' | '.join(row)} |" for row in repair_rows()]
        lines += ["", "Text that is replaced before a module is translated:", ""]
        lines += ["| file | text | replacement |", "|---|---|---|"]
        for file, substitutions in translate.SUBSTITUTIONS.items():
            lines += [f"| `{file}` | `{old}` | `{new}` |" for old, new in substitutions]
        return "\n".join(lines)


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("task-graph", TaskGraph)
    app.add_directive("repairs", Repairs)
    return {"parallel_read_safe": True}
