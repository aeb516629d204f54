"""From a frame to readings: the values (`frames.py`) and the step (`pipeline.py`)."""
