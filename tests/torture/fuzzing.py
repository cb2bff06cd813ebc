"""The process that libFuzzer owns: ``python -m tests.torture.fuzzing PARSER OPTIONS CORPUS``."""

from __future__ import annotations

import sys

import atheris

if __name__ == "__main__":
    with atheris.instrument_imports(include=["bootstrapvz_sparse"]):
        from tests.torture.targets import TARGETS

    parser = sys.argv.pop(1)
    atheris.Setup(sys.argv, TARGETS[parser])
    atheris.Fuzz()
