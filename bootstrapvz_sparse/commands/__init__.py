"""The commands of ``bvz-sparse``, a module each.

Each has ``add_arguments``, which describes its arguments, and ``run``, which reads them into a
typed tuple, runs the command and returns the exit code. The table of commands is in ``cli``, which
imports only the one that is run.

- ``streams``     printing, also to streams that are closed, full or gone
- ``output``      results of several images, even if some fail; JSON; progress
- ``pictures``    the options ``--svg`` and ``--html``
- ``completion``  completion scripts
"""

SHELLS = ("bash", "zsh", "fish")
