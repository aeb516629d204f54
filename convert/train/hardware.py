"""What the host's processor is and can do."""

from __future__ import annotations

from pathlib import Path

from fer_edge.errors import UsageError


def bfloat16_is_fast() -> bool:
    """Whether this processor multiplies in bfloat16, by the flags Linux lists; elsewhere it is emulated and slower."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return any(f" {flag}" in flags for flag in ("avx512_bf16", "amx_bf16", "bf16"))


def limit_threads(threads: int) -> None:
    """Keeps Keras' backend to so many threads; call before it computes. JAX has no such setting in the process."""
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
        raise UsageError(f"--threads is not known to Keras' backend {backend}; leave it out or use tensorflow")
