"""From a frame to readings: the values (`frames`), and the step (`pipeline`): gate, search and tracks, quality, smoothing."""
