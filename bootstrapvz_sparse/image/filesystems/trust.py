"""The answer of a reader that is not certain."""


class NotTrusted(Exception):
    """What is on the disk does not allow to say which blocks are free; the text says why."""
