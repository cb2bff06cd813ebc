"""The exceptions of this package. All share one base; each text is one line for the user."""

from __future__ import annotations


class SparseError(Exception):
    """The base of every error that this package raises deliberately."""


class InvalidImage(SparseError):
    """The file is not an image that can be processed."""


class ImageInUse(SparseError):
    """Another program uses the image, or changed it while it was processed."""


class InvalidTarball(SparseError):
    """The tarball is not one that Compute Engine imports."""


class InvalidReport(SparseError):
    """The file is not the report of a build."""


class Unsupported(SparseError):
    """The build filesystem, the image or the machine does not allow the operation."""


class VerificationFailed(SparseError):
    """Content that had to stay the same differs."""


class ProgramMissing(SparseError):
    """A program is not installed; the text names it and its Debian package."""


class ProgramFailed(SparseError):
    """A program ended with an error; the text has its message."""


class CheckUnavailable(SparseError):
    """A filesystem's checker cannot be run here."""


class OutputFailed(SparseError):
    """Standard output cannot be written."""
