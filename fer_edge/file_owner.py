"""Files of another user: root acts there with that user's rights, and follows no link.

A folder of the service belongs to the service's user, who may put links and false names there. What root does in such a folder
it does as that user, so that it can do no more than the user itself could.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fer_edge.bounded_read import read_bounded

_MOST_LINKS = 40  # as Linux follows, path_resolution(7)


@contextmanager
def acting_as_owner(
    path: Path, owner: tuple[int, int] | None = None, groups_of_owner: Sequence[int] = ()
) -> Iterator[None]:
    """For root, the block runs with the rights of `owner` (uid, gid), else with those of the owner of `path`.

    The owner of a path is that of its first part that does not belong to root: that user can replace everything below. The
    block has no further groups but `groups_of_owner`. For another user nothing changes. Only for processes with one thread:
    the rights are those of the process.
    """
    uid, gid = owner if owner is not None and owner[0] else owner_of(path)
    if os.geteuid() or not uid:
        yield
        return
    groups, own_gid = os.getgroups(), os.getegid()
    try:
        os.setgroups(groups_of_owner)
        os.setegid(gid)
        os.seteuid(uid)
        yield
    finally:
        os.seteuid(0)
        os.setegid(own_gid)
        os.setgroups(groups)


def owner_of(path: Path) -> tuple[int, int]:
    """The (uid, gid) of the first part of `path` that does not belong to root; of root where there is none."""
    absolute = path.absolute()
    for part in (*reversed(absolute.parents), absolute):
        try:
            found = part.lstat()
        except OSError:  # the rest does not exist yet
            break
        if found.st_uid:
            return found.st_uid, found.st_gid
    return 0, 0


def with_links_of_root(path: Path) -> tuple[Path, Path | None]:
    """The absolute path with the links that belong to root followed, up to the first link of another user; and that link.

    None where there is no such link. What does not exist is kept as it is. Raises OSError for links that lead in a circle.
    """
    done, parts, links = Path("/"), list(path.absolute().parts[1:]), 0
    while parts:
        part = done.parent if parts[0] == ".." else done / parts[0]
        del parts[0]
        try:
            found = part.lstat()
        except OSError:
            return part.joinpath(*parts), None
        if not stat.S_ISLNK(found.st_mode):
            done = part
        elif found.st_uid:
            return part.joinpath(*parts), part
        else:
            target = part.readlink()
            if (links := links + 1) > _MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
            done = Path("/") if target.is_absolute() else done
            parts[:0] = target.parts[1:] if target.is_absolute() else target.parts
    return done, None


def read_plain_file(path: Path, largest_bytes: int) -> tuple[bytes, tuple[int, int]]:
    """The content of a file, and its owner (uid, gid). Raises OSError for a link, for anything but a file, or a larger one."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(f"{path} is not a file")
        content = read_bounded(file, largest_bytes)
    if len(content) > largest_bytes:
        raise OSError(f"{path} has more than {largest_bytes:,} bytes")
    return content, (found.st_uid, found.st_gid)
