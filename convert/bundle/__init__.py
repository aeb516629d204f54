"""Bundles: made from a float model or a TFLite file, with golden vectors, written and updated."""
