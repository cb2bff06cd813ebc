"""The ledger of a build: the sizes of the image after each stage, and its peak."""
