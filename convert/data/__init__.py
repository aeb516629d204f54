"""Data sets: reading, class selection, splits, summaries, and face crops cut out of whole pictures."""
