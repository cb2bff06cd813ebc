"""bootstrap-vz 0.9.11, which is Python 2 source, on today's Python and Debian.

:func:`install` before the first ``import bootstrapvz`` is all that a caller does. Where a
bootstrap-vz that is Python 3 source already is installed, it does nothing.
:func:`.partitions.install` after it is for both.

- ``importer``  finds, translates, compiles and repairs each module as it is imported
- ``translate`` gives Python 2 source its meaning on Python 3
- ``python3``   repairs of what no translation finds
- ``debian``    repairs of what 0.9.11 does not know of Debian, or does wrong on any Python
- ``lacking``   files and programs that are not there
- ``partitions`` loop devices where the kernel has no device-mapper, for any bootstrap-vz
- ``moved``     the names that Python 3 moved elsewhere
- ``assets``    the files that the package on PyPI lacks, written anew
"""

from .importer import install, unavailable
from .lacking import missing_programs

__all__ = ["install", "missing_programs", "unavailable"]
