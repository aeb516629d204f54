"""Face detectors: their results, their files, and which one a name stands for."""
