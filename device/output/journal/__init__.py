"""The writing side of the journal: segments, pending lines, repair, retention."""
