"""``bvz-sparse build``: a manifest run from the first look to the last word.

- ``run``        the whole of it; a build that fails leaves nothing behind
- ``preflight``  what can be known to be missing before anything is created
- ``console``    which task runs, and for how long
- ``record``     the file by which a build is known that was killed
- ``leftovers``  what a build left: processes, mounts, loop devices, and how it is undone
- ``clean``      ``bvz-sparse clean``: that for the builds of a workspace that were killed
"""

from .session import BuildError, Options, build

__all__ = ["BuildError", "Options", "build"]
