"""What the host's processor is and can do."""

from __future__ import annotations

from pathlib import Path


def bfloat16_is_fast() -> bool:
    """Whether this processor multiplies in bfloat16, by the flags Linux lists; elsewhere it is emulated and slower."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return any(f" {flag}" in flags for flag in ("avx512_bf16", "amx_bf16", "bf16"))
