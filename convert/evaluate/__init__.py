"""Evaluation: metrics with intervals, calibration of confidence, and inference cost."""
