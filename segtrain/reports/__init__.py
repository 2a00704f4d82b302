"""Everything written for people."""
