"""Post-training int8 quantization: calibration, ranges, equalization, bias correction, mixed precision."""
