"""A program that shows pieces of a file as one read-only file, and runs a command on it.

:mod:`bootstrapvz_sparse.image.on_view` starts it. It needs only the standard library.
"""
