"""The repairs, by reason: importing a module of this package registers its repairs.

- ``python3``  what breaks on Python 3 and no translation of the source finds
- ``debian``   what Debian changed since 0.9.11
- ``bugs``     what was wrong from the beginning

The first line of each docstring says what the repair does and what breaks without it.
"""

# in this order: debian wraps a task that bugs replaces
from . import bugs, debian, python3  # noqa: F401
