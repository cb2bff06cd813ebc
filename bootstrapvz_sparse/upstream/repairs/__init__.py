"""The repairs, by reason: importing a module of this package registers its repairs.

- ``python3``  code that breaks on Python 3 and that the translation cannot fix
- ``debian``   changes in Debian since 0.9.11
- ``bugs``     bugs on any Python and any Debian

The first line of each docstring states the effect of the repair and the failure without it.
"""

# in this order: debian wraps a task that bugs replaces
from . import bugs, debian, python3  # noqa: F401
