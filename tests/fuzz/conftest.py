"""How many inputs each test tries: $FUZZ_EXAMPLES of them and other ones each time, else a few, always the same."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

_EXAMPLES = os.environ.get("FUZZ_EXAMPLES")
settings.register_profile(
    "fer-edge",
    max_examples=int(_EXAMPLES or 25),
    derandomize=_EXAMPLES is None,
    deadline=None,  # the machine may be busy
    database=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
settings.load_profile("fer-edge")
