"""The commands of ``bvz-sparse``, a file each, and how they print.

Each has ``add``, which describes its arguments, and ``run``, which does it and returns the exit
code. What does the work is imported when it is asked for: a command is to start at once.
"""
