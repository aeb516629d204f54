"""Training: networks, presets, augmentation, distillation, weight averaging and checkpoints."""
