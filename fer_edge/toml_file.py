"""A file of settings or margins in TOML, read within bounds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from fer_edge.bounded_read import read_bounded
from fer_edge.errors import UsageError
from fer_edge.limits import SETTINGS_BYTES
from fer_edge.text_cleaning import clean


def read_toml(path: Path, what: str = "settings") -> tuple[dict[str, Any], str]:
    """The values by name, and the text; `what` it holds is said in messages.

    Raises UsageError, with the file's line where it is known, for a file that cannot be read, is no TOML, or is too long.
    """
    import tomllib

    try:
        with path.open("rb") as file:
            content = read_bounded(file, SETTINGS_BYTES)
        if len(content) > SETTINGS_BYTES:
            raise UsageError(f"{path} has more than {SETTINGS_BYTES:,} bytes; a file of {what} has 10,000 at most")
        text = content.decode("utf-8-sig")  # some editors write a byte order mark
        return tomllib.loads(text), text
    except OSError as error:
        raise UsageError(f"the {what} in {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text ({error.reason} at byte {error.start})") from error
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"at line (\d+)", str(error))
        raise UsageError(
            f"{path}{f':{line[1]}' if line else ''}: {error}; a line is `name = value`, text in quotes"
        ) from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits; thousands of nested lists
        raise UsageError(f"{path} cannot be read ({clean(str(error))}); a line is `name = value`") from error
