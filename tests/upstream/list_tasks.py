"""Print the tasks that bootstrap-vz schedules for a manifest, in order, one a line.

The lists in ``recorded`` were printed by this program on Python 2.7.18, where bootstrap-vz 0.9.11
runs as it is:

    for manifest in manifests/*.yml; do
        python2.7 list_tasks.py $manifest > recorded/$(basename $manifest .yml).txt
    done

On Python 3 it goes through the upstream layer. It is written for both.
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


def main(path):
    logging.basicConfig(level=logging.ERROR)
    manifest = Manifest(path=path)
    tasklist = TaskList(load_tasks("resolve_tasks", manifest))
    tasklist.run(info=BootstrapInformation(manifest=manifest), dry_run=True)
    for task in tasklist.tasks_completed:
        print(repr(task))


if __name__ == "__main__":
    main(sys.argv[1])
