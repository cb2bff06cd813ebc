"""bootstrap-vz tasks: thin, a file a concern; what they do is in the ``image`` package."""
