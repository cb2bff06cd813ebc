"""Ten manifests schedule the tasks that they schedule on Python 2.7."""

from __future__ import annotations

import sys
from collections import Counter

import pytest

from .dry_runs import HERE, MANIFESTS, MODULES, recorded, run_python, scheduled


@pytest.fixture(scope="module")
def tasks() -> dict[str, list[str]]:
    return scheduled(sys.executable)


@pytest.mark.parametrize("manifest", MANIFESTS)
def test_schedules_tasks_of_python2(manifest: str, tasks: dict[str, list[str]]) -> None:
    assert Counter(tasks[manifest]) == Counter(recorded(manifest))


def test_schedules_in_the_same_order_each_time(tasks: dict[str, list[str]]) -> None:
    assert scheduled(sys.executable) == tasks


def test_imports_every_module() -> None:
    assert int(run_python(sys.executable, HERE / "import_all.py")) == MODULES
