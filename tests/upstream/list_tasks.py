"""Print the tasks that bootstrap-vz schedules for each manifest, in order, one a line.

An empty line ends the list of a manifest. The lists in ``recorded`` were printed by this program
on Python 2.7.18, where bootstrap-vz 0.9.11 runs as it is:

    for manifest in manifests/*.yml; do
        python2.7 list_tasks.py $manifest | head -n -1 > recorded/$(basename $manifest .yml).txt
    done

It is written for both: on Python 3 bootstrap-vz is imported through the upstream layer.
"""

from __future__ import print_function

import logging
import sys

if sys.version_info[0] > 2:
    from bootstrapvz_sparse import upstream

    upstream.install()

from bootstrapvz.base.bootstrapinfo import BootstrapInformation
from bootstrapvz.base.manifest import Manifest
from bootstrapvz.base.tasklist import TaskList, load_tasks


def print_tasks(path):
    manifest = Manifest(path=path)
    tasklist = TaskList(load_tasks("resolve_tasks", manifest))
    tasklist.run(info=BootstrapInformation(manifest=manifest), dry_run=True)
    for task in tasklist.tasks_completed:
        print(repr(task))
    print()


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)
    for path in sys.argv[1:]:
        print_tasks(path)
