"""The journal's files as writer and reader share them: segments, clock correction, purge."""
