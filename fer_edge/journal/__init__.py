"""The journal's files, shared by writer and reader: segments, clock correction, purge."""
