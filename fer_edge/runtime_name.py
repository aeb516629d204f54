"""The name of a runtime, as golden.npz, parity.json and the journal give it."""

from __future__ import annotations


def runtime_name(runtime: str, version: str, kernels: str, machine: str) -> str:
    """An interpreter with its version, kernel path and machine: “litert 2.3.0, default, x86_64”."""
    return f"{runtime} {version}, {kernels}, {machine}"
