"""From a frame to readings: `pipeline` combines the motion gate, search, tracks, quality and smoothing."""
