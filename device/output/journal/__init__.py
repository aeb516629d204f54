"""The journal as its one writer keeps it: segments, pending lines, repair, retention."""
