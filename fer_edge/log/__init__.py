"""Reading a journal: runs and where their seconds went, rows, sums, plots, and what is missing."""
