"""The person whom a picture's file name tells, so that intervals count persons and not pictures of the same one."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

_PERSON = re.compile(r"(.+)_\d+")
_DATE = r"(?:19|20)\d\d[-_.]?\d\d[-_.]?\d\d"
# What cameras and telephones write before a number: IMG_0003, DSC01234_2, PXL_20230101_100211, WIN_20230101_10_02_11; and
# P_20230101_100211, with a date only, because P and P01 are also how participants of a study are called.
_PREFIX = (
    r"(?:IMG|CIMG|MVIMG|PXL|DSC[FN]?|DCIM|VID|MOV|PANO|BURST|WIN|GOPR|PICT|photo|image|picture|snapshot|screenshot)"
)
_NO_PERSON = re.compile(rf"[\d._ -]+|_?{_PREFIX}\d*|(?:{_PREFIX}|P)[-_. ]?{_DATE}(?:[-_. ]\d+)*", re.IGNORECASE)


def person_of(source: str) -> str | None:
    """The person in a file's name: what stands before the last underscore and a number, as in Anna_Smith_0003.jpg.

    None where that is only digits or what a camera writes, alone or with a date: those are names of days, not of persons.
    """
    match = _PERSON.fullmatch(PurePosixPath(source).stem)
    return match[1] if match and not _NO_PERSON.fullmatch(match[1]) else None
