"""Run bootstrap-vz 0.9.11, which is Python 2 code, on today's Python and Debian.

:func:`install` must be called before bootstrap-vz is imported. A maintained bootstrap-vz, which is
already Python 3 code, is supported as well: it is not translated and gets only the repairs that it
also needs.

- ``importer``         find, translate, compile and repair each module while it is imported
- ``translate``        turn Python 2 source into a Python 3 syntax tree
- ``registry``         the list of repairs: every replacement of a part of bootstrap-vz
- ``repairs``          the repairs, by reason: ``python3``, ``debian`` or ``bugs``
- ``loop_partitions``  map partitions by loop devices where the kernel has no device-mapper
- ``grub``             install GRUB on such partitions
- ``py2_stdlib``       names that Python 3 moved to other modules
- ``missing``          assets and programs that a build needs but that are missing
- ``assets``           replacements for files missing from the package on PyPI
"""

from .importer import install, unavailable
from .missing import missing_programs

__all__ = ["install", "missing_programs", "unavailable"]
