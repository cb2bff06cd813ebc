"""The manifest block ``plugins: {sparse: ...}`` as one typed object."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..util.text import parse_size


@dataclass(frozen=True)
class Settings:
    """The settings of a manifest; ``manifest-schema.yml`` describes each key.

    Names and defaults are those of the block. Sizes are in bytes, None where there is no limit;
    ``scratch`` are folders of the image without the leading slash; ``sparsify_command`` is a
    program and its arguments.
    """

    reclaim: str = "auto"
    sparsify: str = "auto"
    sparsify_command: tuple[str, ...] = ()
    scratch: tuple[str, ...] = ("tmp", "var/tmp", "var/cache/apt", "var/lib/apt/lists")
    verify: bool = True
    min_hole: int = 0
    limit_allocated: int | None = None
    limit_tarball: int | None = None
    tarball_compressor: str = "auto"
    tarball_level: int = 5
    report: str | None = None

    @classmethod
    def of(cls, plugins: Mapping[str, Mapping[str, Any]]) -> Settings:
        """Return the settings in the validated ``plugins`` section of a manifest.

        :raises ValueError: a quote in ``sparsify_command`` is not closed
        """
        values = dict(plugins["sparse"])
        if "sparsify_command" in values:
            values["sparsify_command"] = tuple(shlex.split(values["sparsify_command"]))
        if "scratch" in values:
            values["scratch"] = tuple(path.strip("/") for path in values["scratch"] or ())
        if "min_hole" in values:
            values["min_hole"] = parse_size(values["min_hole"])
        for key, size in values.pop("limit", {}).items():
            values[f"limit_{key}"] = parse_size(size)
        for key, value in values.pop("tarball", {}).items():
            values[f"tarball_{key}"] = value
        return cls(**values)
