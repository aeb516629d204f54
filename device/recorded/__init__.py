"""Recorded videos: every frame of them through the device's pipeline, and a table of what each one showed."""
