"""Why a V4L2 node does not open as a camera. Request codes and structures are those of linux/videodev2.h, on 64-bit systems."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from dataclasses import dataclass
from pathlib import Path

_QUERYCAP = 0x80685600  # struct v4l2_capability, 104 bytes
_G_FMT = 0xC0D05604  # struct v4l2_format, 208 bytes
_REQBUFS = 0xC0145608  # struct v4l2_requestbuffers, 20 bytes
_CAPTURE = 0x1 | 0x1000  # V4L2_CAP_VIDEO_CAPTURE and its multi-planar kind
_DEVICE_CAPS = 0x80000000
_BUF_TYPE_CAPTURE, _MEMORY_MMAP = 1, 1
_LOOPBACK_DRIVER = "v4l2 loopback"


@dataclass(frozen=True, slots=True)
class NodeState:
    """What the kernel says of a V4L2 node. Each error is an errno, 0 for success."""

    open_error: int = 0
    query_error: int = 0  # of the question for its capabilities
    driver: str = ""
    captures: bool = False
    format_error: int = 0  # of the question for its picture format
    buffers_error: int = 0  # of the request for a buffer


def why_no_camera(node: Path) -> str:
    """A sentence that says why `node`, which exists, cannot be opened as a camera, and what to do."""
    return explain(node, node_state(node))


def node_state(node: Path) -> NodeState:
    """The state of the node. It is opened for a moment; a buffer that it gives is returned."""
    try:
        descriptor = os.open(node, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        return NodeState(open_error=error.errno or errno.EIO)
    try:
        capability = bytearray(104)
        if query_error := _ioctl(descriptor, _QUERYCAP, capability):
            return NodeState(query_error=query_error)
        driver = capability[:16].split(b"\0")[0].decode(errors="replace")
        all_nodes, this_node = struct.unpack_from("=II", capability, 84)
        captures = bool((this_node if all_nodes & _DEVICE_CAPS else all_nodes) & _CAPTURE)
        picture_format = bytearray(struct.pack("=I", _BUF_TYPE_CAPTURE).ljust(208, b"\0"))
        format_error = _ioctl(descriptor, _G_FMT, picture_format)
        buffers_error = _ioctl(descriptor, _REQBUFS, _buffers(1))
        if not buffers_error:
            _ioctl(descriptor, _REQBUFS, _buffers(0))
        return NodeState(0, 0, driver, captures, format_error, buffers_error)
    finally:
        os.close(descriptor)


def explain(node: Path, state: NodeState) -> str:
    """The sentence for a node in that state."""
    if state.open_error in (errno.EACCES, errno.EPERM):
        return f"{node} may not be opened by this user; `sudo usermod -aG video $USER`, then log in again"
    if state.driver == _LOOPBACK_DRIVER and (not state.captures or state.format_error):
        return f"no program writes pictures into {node}, a loopback device; start that program first"
    if errno.EBUSY in (state.open_error, state.buffers_error):
        return f"another program uses {node}; end it (`fuser -v {node}` names it), or give another camera"
    if state.open_error:
        return f"{node} cannot be opened ({os.strerror(state.open_error)}); unplug the camera and plug it in again"
    if state.query_error or not state.captures:
        driver = f", driver {state.driver}" if state.driver else ""
        return (
            f"{node} is not a capture device{driver}; a camera has several nodes, and the one that gives pictures is "
            "…-video-index0 in /dev/v4l/by-id or /dev/v4l/by-path"
        )
    return (
        f"{node} gives no picture format that can be read here, driver {state.driver}; `v4l2-ctl --list-formats` lists "
        "its formats; on the Pi's ribbon cable the camera is csi:0"
    )


def _ioctl(descriptor: int, request: int, buffer: bytearray) -> int:
    """0 or the errno of the request, which changes `buffer`."""
    try:
        fcntl.ioctl(descriptor, request, buffer)
    except OSError as error:
        return error.errno or errno.EIO
    return 0


def _buffers(count: int) -> bytearray:
    return bytearray(struct.pack("=IIIII", count, _BUF_TYPE_CAPTURE, _MEMORY_MMAP, 0, 0))
