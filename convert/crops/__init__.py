"""From a detector's box to the crop: the fit of the mapping, and what detected crops cost."""
