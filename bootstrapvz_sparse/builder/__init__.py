"""``bvz-sparse build``: a manifest run from the first look to the last word.

- ``run``        the whole of it; a build that fails leaves nothing behind
- ``preflight``  what can be known to be missing before anything is created
- ``console``    which task runs, and for how long
- ``leftovers``  processes, mounts and loop devices that a build left below its workspace
"""

from .run import BuildError, Options, build

__all__ = ["BuildError", "Options", "build"]
