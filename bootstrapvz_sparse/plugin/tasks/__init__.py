"""The tasks of the plugin, a file for each subject; the work is done in ``image``."""
