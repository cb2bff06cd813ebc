"""The manifest block ``plugins: {sparse: ...}`` as one typed object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """What the manifest asks for; ``manifest-schema.yml`` tells what each key means.

    The names and defaults are those of the block: an absent key has the default.
    """

    reclaim: str = "auto"
    sparsify: str = "auto"

    @classmethod
    def of(cls, plugins: Mapping[str, Mapping[str, str]]) -> Settings:
        """Read the validated ``plugins`` section of a manifest."""
        return cls(**plugins["sparse"])
