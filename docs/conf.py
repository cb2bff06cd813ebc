"""Settings of Sphinx for ``make docs``. The pages are Markdown, so they can be read as they are."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

from bootstrapvz_sparse import __version__  # noqa: E402

project = "bootstrapvz-sparse"
copyright = "its authors; Apache-2.0"
release = version = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.graphviz",
    "sphinx_argparse_cli",
    "extensions.builds",
    "extensions.pictures",
    "extensions.schemas",
]
exclude_patterns = ["_build", "_generated", "ci", "examples", "man"]
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 4
graphviz_output_format = "svg"
smartquotes = False  # options begin with --

html_theme = "furo"
html_title = f"bootstrapvz-sparse {__version__}"
html_static_path = ["static"]
html_css_files = ["wide.css"]
html_show_sourcelink = False
linkcheck_anchors = False
linkcheck_timeout = 20
