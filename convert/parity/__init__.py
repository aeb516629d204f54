"""Parity of int8 with float: backends, tolerances, paired tests, and the verdict."""
