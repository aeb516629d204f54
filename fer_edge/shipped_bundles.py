"""The bundles that have a name: those that come with the package, and those that only a checkout has."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from fer_edge.errors import UsageError
from fer_edge.json_fields import parse_json

SHIPPED = ("edge-mixed", "edge", "nano")  # in the wheel; the first is the default
IN_CHECKOUT = ("large", "edge-votes")  # in models/ of a checkout only, for their size or their classes
_CHECKOUT = Path(__file__).parents[1]


def default_path() -> Path:
    """The folder of the default bundle."""
    return shipped_path(SHIPPED[0])


def shipped_path(name: str) -> Path:
    """The folder of a bundle that comes with the package: in the installed package, or models/ of a checkout."""
    inside = Path(__file__).parent / "models" / name
    return inside if inside.is_dir() else _CHECKOUT / "models" / name


def near_names(name: str) -> str:
    """What to name instead of a bundle that does not exist: the names nearest to it, else all that come with the package."""
    from difflib import get_close_matches

    here = [each for each in IN_CHECKOUT if (shipped_path(each) / "bundle.json").is_file()]
    if near := get_close_matches(name, (*SHIPPED, *here), cutoff=0.4):
        return f"did you mean {', '.join(near)}?"
    return f"name a folder, or {', '.join(SHIPPED[:-1])} or {SHIPPED[-1]}, which come with the package"


@cache
def shipped_models() -> frozenset[str]:
    """The SHA-256 of each model.tflite that comes with the package or a checkout."""
    files = [path for name in (*SHIPPED, *IN_CHECKOUT) if (path := shipped_path(name) / "bundle.json").is_file()]
    return frozenset(parse_json(path.read_bytes())["files"]["model.tflite"]["sha256"] for path in files)


def bundle_folder(path: Path | str, checkout: Path = _CHECKOUT) -> Path:
    """The folder of the bundle called `path`, unless there is a folder of that name: then that one, as for any other path.

    Raises UsageError when it is one that only a checkout has, and this is none.
    """
    name, folder = str(path), Path(path)
    if name not in (*SHIPPED, *IN_CHECKOUT) or folder.is_dir():
        return folder
    if name in SHIPPED:
        return shipped_path(name)
    inside = checkout / "models" / name
    if not (inside / "bundle.json").is_file():
        raise UsageError(
            f"the bundle {name} does not come with the package: name the folder models/{name} of a checkout of fer-edge, or"
            " a copy of it"
        )
    return inside
