"""Packaging of bootstrapvz-sparse; the settings of the tools are in pyproject.toml."""

import re
from pathlib import Path

from setuptools import find_packages, setup

here = Path(__file__).parent
version = re.search(
    r'^__version__ = "(.+)"$', (here / "bootstrapvz_sparse" / "__init__.py").read_text(), re.M
)
assert version

setup(
    name="bootstrapvz-sparse",
    version=version[1],
    description="Sparse Debian images: a plugin for bootstrap-vz, the builder of cloud images",
    long_description=(here / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.9",
    packages=find_packages(include=["bootstrapvz_sparse*"]),
    package_data={
        "bootstrapvz_sparse": ["py.typed"],
        "bootstrapvz_sparse.plugin": ["manifest-schema.yml"],
        "bootstrapvz_sparse.upstream": ["assets/*/*"],
    },
    install_requires=["bootstrap-vz", "jsonschema", "PyYAML", "rich>=12.4"],
    extras_require={
        "completion": ["shtab"],
        "test": [
            # there are no others than these
            "atheris; python_version>='3.11' and python_version<'3.14' "
            "and platform_machine=='x86_64'",
            "bandit[toml]",
            "argparse-manpage",
            "build",
            "check-jsonschema",
            "hypothesis",
            "mypy",
            "pytest<9.2",  # pytest-xdist 3.8 does not keep groups together with 9.2
            "pytest-timeout",
            "pytest-xdist",
            "ruff",
            "shtab",
            "twine",
            "types-PyYAML",
            "types-jsonschema",
        ],
        "docs": ["furo", "myst-parser", "sphinx", "sphinx-argparse-cli"],
    },
    entry_points={
        "bootstrapvz.plugins": ["sparse = bootstrapvz_sparse"],
        "console_scripts": ["bvz-sparse = bootstrapvz_sparse.cli:main"],
    },
    classifiers=[
        "Environment :: Console",
        "Intended Audience :: System Administrators",
        "License :: OSI Approved :: Apache Software License",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Topic :: System :: Installation/Setup",
    ],
)
