"""The engine: raw image files, as bytes. It knows nothing of bootstrap-vz or of manifests."""
