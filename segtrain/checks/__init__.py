"""Whether a config can be run, before anything heavy loads."""
