"""The hardware that trains: processor or accelerators, one or several."""

from __future__ import annotations

import importlib
from pathlib import Path

from fer_edge.errors import UsageError
from fer_edge.hardware import board_name

_BACKENDS = {"jax": "JAX", "tensorflow": "TensorFlow", "torch": "PyTorch"}


def has_accelerator() -> bool:
    """Whether Keras' backend computes on a GPU or a TPU here."""
    import keras

    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return bool(tf.config.list_physical_devices("GPU") or tf.config.list_physical_devices("TPU"))
    if backend == "torch":
        import torch

        return bool(torch.cuda.is_available())
    import jax

    return bool(jax.default_backend() != "cpu")


def framework() -> str:
    """Keras and its backend with their versions, as in “JAX 0.11.2, Keras 3.15.1”."""
    import keras

    name = keras.backend.backend()
    return f"{_BACKENDS.get(name, name)} {importlib.import_module(name).__version__}, Keras {keras.__version__}"


def hardware() -> str:
    """The accelerators that Keras' backend computes on, or the processor."""
    import keras

    backend = keras.backend.backend()
    if not has_accelerator():
        return board_name()[0]
    if backend == "jax":
        import jax

        names = [device.device_kind for device in jax.devices()]
    elif backend == "torch":
        import torch

        names = [torch.cuda.get_device_name()]
    else:
        import tensorflow as tf

        found = tf.config.list_physical_devices("GPU") or tf.config.list_physical_devices("TPU")
        names = [tf.config.experimental.get_device_details(device).get("device_name", device.name) for device in found]
    return ", ".join(f"{names.count(name)} × {name}" for name in dict.fromkeys(names))


def use_all_devices(batch: int) -> int:
    """Divides each batch among all devices that JAX sees, and gives their number; 1 on other backends.

    These are the devices of all hosts (`convert.train.processes`). Call it before a model is built. `keras.distribution`
    implements this for JAX only. Raises UsageError when the batch cannot be divided by the number of devices, or the hosts
    have different numbers of devices.
    """
    import keras

    if keras.backend.backend() != "jax":
        return 1
    import jax

    devices = int(jax.device_count())
    if devices == 1:
        return 1
    here, hosts = int(jax.local_device_count()), int(jax.process_count())
    if here * hosts != devices:
        raise UsageError(
            f"{hosts} hosts have {devices} devices, {here} of them here; each host must have the same number: hide some of "
            "them from JAX (CUDA_VISIBLE_DEVICES)"
        )
    if batch % devices:
        raise UsageError(
            f"a batch of {batch} images cannot be divided among {devices} devices; hide some of them from JAX "
            "(CUDA_VISIBLE_DEVICES)"
        )
    keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))
    return devices


def bfloat16_is_fast() -> bool:
    """Whether this processor multiplies in bfloat16, by its flags in /proc/cpuinfo. Emulated, it is slower than float32."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return any(f" {flag}" in flags for flag in ("avx512_bf16", "amx_bf16", "bf16"))


def dtype_policies(separable: bool, precision: str = "auto") -> tuple[str, str]:
    """The Keras dtype policies of a network that is trained, and of its teachers' answers; `precision` itself unless "auto".

    `separable`: the network has depthwise convolutions. Processors have no fast bfloat16 kernels for their gradients, so such
    a network trains in float32 there (`nano` on a Xeon with AMX: 640 images a second, 280 in bfloat16). Its teachers give
    answers only, which bfloat16 makes several times faster (`large` there: 740 images a second, 120 in float32).
    """
    if precision != "auto":
        return precision, precision
    accelerator = has_accelerator()
    fast = accelerator or bfloat16_is_fast()
    names = {True: "mixed_bfloat16", False: "float32"}
    return names[accelerator or (fast and not separable)], names[fast]


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
