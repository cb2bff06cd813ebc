"""``bvz-sparse build`` and ``bvz-sparse clean``.

- ``session``    a build from start to end; all that imports bootstrap-vz
- ``preflight``  problems that are found before anything is created
- ``console``    the running task and its duration; ``progress``: its current step
- ``rollback``   undoing a failed build
- ``record``     the file by which a killed build is recognised
- ``leftovers``  processes, mounts and loop devices of a build, and their removal
- ``clean``      the removal of killed builds from a workspace
- ``failure``    the cause of a failure as text
"""

from ..upstream.loop_partitions import MAPPERS
from .failure import BuildError
from .session import Options, build

__all__ = ["MAPPERS", "BuildError", "Options", "build"]
