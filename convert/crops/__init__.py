"""From a detector's box to the crop: fitting the mapping, and the loss of accuracy on detected crops."""
