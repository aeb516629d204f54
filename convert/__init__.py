"""The host side: data → model → train → evaluate, and calibration → quantize → parity → a bundle."""
