"""Capabilities of the host's processor."""

from __future__ import annotations

from pathlib import Path

from fer_edge.errors import UsageError


def bfloat16_is_fast() -> bool:
    """Whether this processor multiplies in bfloat16, by its flags in /proc/cpuinfo. Emulated, it is slower than float32."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return any(f" {flag}" in flags for flag in ("avx512_bf16", "amx_bf16", "bf16"))


def limit_threads(threads: int) -> None:
    """Limits the threads of Keras' backend. Call it before the first computation. JAX has no such setting: UsageError."""
    import keras

    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    elif backend == "torch":
        import torch

        torch.set_num_threads(threads)
    else:
        raise UsageError(f"--threads is not supported by Keras' backend {backend}; leave it out or use tensorflow")
