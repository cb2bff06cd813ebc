"""The engine, which makes raw images sparse. It needs only the standard library.

The public API is the names below; they follow semantic versioning. ``docs/library.md`` has an
example.
"""

from ..util.errors import (
    CheckUnavailable,
    ImageInUse,
    InvalidImage,
    InvalidTarball,
    ProgramFailed,
    ProgramMissing,
    SparseError,
    Unsupported,
    VerificationFailed,
)
from .api import Report, apply, inspect, plan, sparsify
from .plans import Plan

__all__ = [
    "CheckUnavailable",
    "ImageInUse",
    "InvalidImage",
    "InvalidTarball",
    "Plan",
    "ProgramFailed",
    "ProgramMissing",
    "Report",
    "SparseError",
    "Unsupported",
    "VerificationFailed",
    "apply",
    "inspect",
    "plan",
    "sparsify",
]
