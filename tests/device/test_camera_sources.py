"""Which source a name stands for, and the sentence and exit code for every name that stands for nothing."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import av
import cv2
import numpy as np
import pytest
from builders import write_image, write_raw_video, write_video
from fakes import FakeClock, network_camera, silent_listener
from processes import ROOT

from device.camera.camera_url import redact_url, shown_camera, with_password
from device.camera.factory import create_source
from device.camera.matroska_start import matroska_start_s
from device.camera.replay import ImageFolder, VideoFile, is_raw_video
from device.camera.source import EndOfStream, SourceDescription, SourceLost
from device.camera.stream import NetworkStream
from device.camera.synthetic import SyntheticCamera
from device.camera.usb import UsbCamera
from device.camera.v4l2 import NodeState, explain
from device.clock import SystemClock
from device.config import Settings
from device.run import run
from fer_edge.errors import CameraNotOpened, FerEdgeError, UsageError
from fer_edge.synthetic_face import face_frame

GRAYS = [np.full((48, 64), value, np.uint8) for value in range(0, 250, 25)]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("synthetic", SyntheticCamera),
        (" synthetic ", SyntheticCamera),
        ("usb:0", UsbCamera),
        ("usb:12", UsbCamera),
        ("/dev/video3", UsbCamera),
        ("/dev/v4l/by-id/usb-046d_C270_200901010001-video-index0", UsbCamera),
        ("/dev/v4l/by-path/platform-fd500000.pcie-usb-0:1.4:1.0-video-index0", UsbCamera),
        ("/dev/door", UsbCamera),
        ("http://host/a", NetworkStream),
        ("HTTPS://u:p@host:8080/a?b=c", NetworkStream),
        ("rtsp://[::1]/a", NetworkStream),
        ("{}/clip.mp4", VideoFile),
        ("{}", ImageFolder),
    ],
)
def test_names(tmp_path: Path, name: str, kind: type) -> None:
    (tmp_path / "clip.mp4").touch()
    assert type(create_source(Settings(camera=name.format(tmp_path)), FakeClock())) is kind


@pytest.mark.parametrize(
    ("camera", "code", "words"),
    [
        ("usb:97", 4, "no camera /dev/video97"),
        ("97", 4, "no camera /dev/video97"),
        ("/dev/video97", 4, "no camera /dev/video97"),
        ("/dev/v4l/by-id/usb-none-video-index0", 4, "no camera /dev/v4l/by-id/usb-none-video-index0"),
        ("/dev/null", 4, "/dev/null is not a capture device; a camera has several nodes"),
        ("/dev/shm/none.mp4", 4, "no file or folder /dev/shm/none.mp4"),
        ("csi:0", 4, "sudo apt install python3-picamera2"),
        ("webcam", 2, "“webcam” is not a camera; give 0, usb:0"),
        ("usb:", 2, "not a camera"),
        ("usb:x", 2, "not a camera"),
        ("-1", 2, "not a camera"),
        ("ftp://host/a", 2, "cannot be a camera"),
        ("http://", 2, "cannot be a camera"),
        ("http://host:port/", 2, "cannot be a camera"),
        ("missing.mp4", 4, "no file or folder missing.mp4"),
        ("{}/nothing/here", 4, "no file or folder"),
        ("http:/user:secret@h/token", 2, "the address … cannot be a camera; give one of http"),
        ("http:user:secret@h", 2, "the address … cannot be a camera"),
        ("user:secret@h/token", 2, "the address … cannot be a camera"),
        ("~/no such file", 4, "no file or folder"),
        ("{}/pipe.mp4", 2, "is neither a file nor a folder"),
        ("{}/empty", 4, "holds no images"),
        ("{}/empty.mp4", 4, "cannot be read as a video"),
        ("{}/text.mp4", 4, "cannot be read as a video"),
        ("{}/cut.mp4", 4, "cannot be read as a video"),
        ("http://127.0.0.1:{dead}/a", 4, "gave no video within 1 s"),
        ("rtsp://user:secret@127.0.0.1:{dead}/a", 4, "rtsp://127.0.0.1:{dead}/… gave no video"),
        ("http://user:secret@127.0.0.1:{mute}/a?key=secret", 4, "http://127.0.0.1:{mute}/… gave no video"),
        ("rtsp://127.0.0.1:{mute}/a", 4, "gave no video within 1 s"),
    ],
)
def test_an_unknown_camera_name_is_rejected(
    tmp_path: Path, bundle_path: Path, camera: str, code: int, words: str
) -> None:
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("this is no video\n" * 100)
    video_bytes = write_video(tmp_path / "whole.mp4", GRAYS).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(video_bytes[: len(video_bytes) // 2])
    with silent_listener() as dead:
        pass
    with silent_listener() as mute:
        values = {"dead": dead, "mute": mute}
        settings = Settings(camera.format(tmp_path, **values), bundle=bundle_path, log=tmp_path / "log", open_s=1.0)
        clock = SystemClock()
        start_ns = clock.mono_ns()
        with pytest.raises(FerEdgeError) as refused:
            run(settings)
    assert (clock.mono_ns() - start_ns) / 1e9 < 10
    assert refused.value.exit_code == code
    assert words.format(**values) in str(refused.value)
    assert "secret" not in str(refused.value)
    assert not list((tmp_path / "log").glob("*.jsonl")), "a run that never began leaves no segment"


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (NodeState(open_error=errno.EACCES), "may not be opened by this user; `sudo usermod -aG video $USER`"),
        (NodeState(open_error=errno.EBUSY), "another program uses /dev/video0; end it (`fuser -v /dev/video0`"),
        (NodeState(driver="uvcvideo", captures=True, buffers_error=errno.EBUSY), "another program uses /dev/video0"),
        (NodeState(open_error=errno.ENODEV), "cannot be opened (No such device)"),
        (NodeState(query_error=errno.ENOTTY), "is not a capture device; a camera has several nodes"),
        (NodeState(driver="uvcvideo"), "is not a capture device, driver uvcvideo; a camera has several nodes"),
        (NodeState(driver="v4l2 loopback"), "no program writes pictures into /dev/video0"),
        (NodeState(driver="v4l2 loopback", captures=True, format_error=errno.EINVAL), "no program writes pictures"),
        (NodeState(driver="v4l2 loopback", captures=True, buffers_error=errno.EBUSY), "another program uses"),
        (NodeState(driver="unicam", captures=True), "no picture format that can be read here, driver unicam"),
    ],
)
def test_each_cause_that_keeps_a_node_closed_has_its_sentence(state: NodeState, words: str) -> None:
    assert words in explain(Path("/dev/video0"), state)


@pytest.mark.parametrize(
    ("given", "text", "requested"),
    [
        ((640, 480, 10.0), "", {}),
        ((640, 480, 9.99), "", {}),
        ((640, 480, None), "", {}),
        ((0, 0, None), "", {}),
        ((640, 480, 15.0), "gives 15 frames a second, not 10 as requested", {"requested_fps": 10.0}),
        (
            (320, 240, 10.0),
            "gives 320×240, not 640×480 as requested",
            {"requested_width_px": 640, "requested_height_px": 480},
        ),
        (
            (1280, 480, 7.5),
            "gives 1280×480 at 7.5 frames a second, not 640×480 at 10 as requested",
            {"requested_width_px": 640, "requested_height_px": 480, "requested_fps": 10.0},
        ),
    ],
)
def test_what_the_driver_gives_instead_is_described(
    given: tuple[int, int, float | None], text: str, requested: dict[str, float]
) -> None:
    width, height, fps = given
    description = SourceDescription("usb", "/dev/video0", width_px=width, height_px=height, fps=fps)
    compared = description.compared_with(Settings(width_px=640, height_px=480, fps=10.0))
    assert compared.difference() == text
    assert {name: value for name, value in compared.to_json().items() if name.startswith("requested")} == requested


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("http://host", "http://host"),
        ("http://host/", "http://host"),
        ("http://host/a/b.mjpg", "http://host/…"),
        ("rtsp://user:pass@host:554/a", "rtsp://host:554/…"),
        ("http://user@host/a?user=u&pwd=p", "http://host/…"),
        ("http://host/a#pass", "http://host/…"),
        ("http://host?key=secret", "http://host/…"),
        ("http://user:1/pass@host/a", "http://…"),
        ("http://user:pa/ss@host/a", "http://…"),
        ("rtsp://user:p@ss@host/a", "rtsp://host/…"),
        ("rtsp://h/user=a_password=b_channel=1", "rtsp://h/…"),
        ("rtsps://h:7441/TOKEN?enableSrtp", "rtsps://h:7441/…"),
        ("rtsp://a:12#34@h/x", "rtsp://h/…"),
        ("rtsp://a:12?34@h", "rtsp://h"),
        ("rtsp://a:b\\c@h", "rtsp://…"),
        ("rtsp://h:secret/x", "rtsp://…"),
        ("rtsp://a:b@[::1]:554/x", "rtsp://[::1]:554/…"),
        ("rtsp://[/x", "rtsp://…"),
        ("rtsp:/a:b@h/x", "…"),
    ],
)
def test_a_url_is_shown_without_passwords(address: str, shown: str) -> None:
    assert redact_url(address) == shown


def test_a_file_with_the_signs_of_an_address_is_shown_by_its_name(tmp_path: Path) -> None:
    file = tmp_path / "12:30@door.mp4"
    assert shown_camera(str(file)) == "…"
    file.touch()
    assert shown_camera(str(file)) == str(file)
    assert shown_camera("a:" * 300 + "@h") == "…"


def test_a_video_returns_every_frame_with_its_position(tmp_path: Path) -> None:
    clock = FakeClock()
    source = VideoFile(write_video(tmp_path / "clip.mp4", GRAYS, fps=12.5), clock)
    source.open()
    frames = []
    with pytest.raises(EndOfStream):
        while True:
            frame = source.read()
            assert frame is not None
            frames.append(frame)
            clock.now_ns += 3_000_000_000  # however long the loop takes
    assert [f.seq for f in frames] == list(range(10))
    assert [f.mono_ns for f in frames] == [5_000_000_000 + n * 80_000_000 for n in range(10)]
    assert np.allclose([f.gray.mean() for f in frames], [g.mean() for g in GRAYS], atol=3)
    assert source.describe().name == "clip.mp4"
    source.close()


def test_a_time_lapse_whose_first_times_are_negative_begins_at_0(tmp_path: Path) -> None:
    """x264 delays its frames by two, which Matroska stores as times before 0."""
    clip = tmp_path / "lapse.mkv"
    with av.open(clip, "w") as file:
        video = file.add_stream("libx264", rate=Fraction(1, 10))
        video.height, video.width, video.pix_fmt = *GRAYS[0].shape, "yuv420p"
        for number, gray in enumerate(GRAYS[:4]):
            picture = av.VideoFrame.from_ndarray(gray, format="gray").reformat(format="yuv420p")
            picture.pts, picture.time_base = number, Fraction(10)
            file.mux(video.encode(picture))
        file.mux(video.encode())
    reader = cv2.VideoCapture(str(clip))
    assert reader.read()[0] and reader.get(cv2.CAP_PROP_POS_MSEC) < 0
    reader.release()
    source = VideoFile(clip, FakeClock())
    source.open()
    frames = [source.read() for _ in range(4)]
    source.close()
    assert [frame and frame.mono_ns - 5_000_000_000 for frame in frames] == [n * 10_000_000_000 for n in range(4)]


def test_a_recording_that_was_cut_off_is_reported(tmp_path: Path) -> None:
    said: list[str] = []
    noise = np.random.default_rng(0).integers(0, 256, (40, 240, 320), np.uint8)
    content = write_video(tmp_path / "whole.avi", noise, code="MJPG").read_bytes()
    for name, size in (("whole.avi", len(content)), ("cut.avi", len(content) // 2)):
        path = tmp_path / name
        path.write_bytes(content[:size])
        source = VideoFile(path, FakeClock(), log=said.append)
        source.open()
        frames = 0
        with pytest.raises(EndOfStream):
            while source.read() is not None:
                frames += 1
        source.close()
    assert said == [f"cut.avi ended after {frames} frames; its container states 40"] and 5 < frames < 35


@pytest.mark.parametrize(
    ("name", "codec"), [("part.mkv", "mjpeg"), ("part.mkv", "libx264"), ("part.webm", "libvpx-vp9")]
)
def test_a_part_of_a_matroska_recording_that_keeps_its_times_is_whole(name: str, codec: str, tmp_path: Path) -> None:
    """Its stated length is the time of its end: FFmpeg reports 60 frames for the 40 of one that begins at 2 s."""
    clip = write_from(tmp_path / name, 40, 2.0, codec)
    assert matroska_start_s(clip) == 2.0
    said: list[str] = []
    source = VideoFile(clip, FakeClock(), log=said.append)
    source.open()
    times = []
    with pytest.raises(EndOfStream):
        while (frame := source.read()) is not None:
            times.append(frame.mono_ns)
    assert len(times) == source.reported_frames == 40 and said == []
    source.close()

    content = clip.read_bytes()
    (tmp_path / "cut.mkv").write_bytes(content[: len(content) // 2])
    source = VideoFile(tmp_path / "cut.mkv", FakeClock(), log=said.append)
    source.open()
    with pytest.raises(EndOfStream):
        while source.read() is not None:
            pass
    source.close()
    assert len(said) == 1 and said[0].endswith("its container states 40")
    for size in (0, 3, 40, 60):
        (tmp_path / "short.mkv").write_bytes(content[:size])
        assert matroska_start_s(tmp_path / "short.mkv") == 0.0
    assert matroska_start_s(tmp_path) == 0.0


def write_from(path: Path, frames: int, start_s: float, codec: str) -> Path:
    """A recording at 10 frames/s whose times begin at `start_s`, as a part of a longer one may."""
    noise = np.random.default_rng(0).integers(0, 256, (frames, 48, 64, 3), np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for number in range(frames):
            picture = av.VideoFrame.from_ndarray(noise[number], format="bgr24")
            picture.pts, picture.time_base = round(start_s * 10) + number, Fraction(1, 10)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("head", "raw"),
    [
        (b"\0\0\0\1\x67\x42", True),  # H.264, a sequence parameter set
        (b"\0\0\1\x09\x10", True),  # H.264, an access unit delimiter
        (b"\0\0\0\1\x40\x01", True),  # H.265, a video parameter set
        (b"\xff\xd8\xff\xe0", True),  # JPEG
        (b"\0\0\1\xba\x44", False),  # MPEG program stream
        (b"\0\0\1\xb3\x28", False),  # MPEG-1 video, which states its rate
        (b"\0\0\1\xb0\x01", False),  # MPEG-4 video, which states its rate
        (b"\0\0\0\x20ftyp", False),
        (b"RIFF", False),
        (b"\0\0\1", False),
        (b"", False),
    ],
)
def test_a_raw_recording_is_known_by_its_first_bytes(tmp_path: Path, head: bytes, raw: bool) -> None:
    (tmp_path / "clip").write_bytes(head)
    assert is_raw_video(tmp_path / "clip") == raw


@pytest.mark.parametrize(("given", "step_ns", "said"), [(50.0, 20_000_000, 0), (None, 40_000_000, 1)])
def test_a_raw_recording_has_the_given_rate_or_a_reported_one(
    tmp_path: Path, given: float | None, step_ns: int, said: int
) -> None:
    clip, log = write_raw_video(tmp_path / "clip.h264", GRAYS, "h264", "libx264"), []
    source = VideoFile(clip, FakeClock(), given, log.append)
    source.open()
    frames = [source.read() for _ in GRAYS]
    assert [frame and frame.mono_ns - 5_000_000_000 for frame in frames] == [n * step_ns for n in range(len(GRAYS))]
    assert len(log) == said and all("25 frames/s are assumed; give its rate with --raw-fps" in line for line in log)
    assert ("assumed" in source.describe().time) == bool(said)
    source.close()


def test_a_folder_returns_its_images_in_order_and_gray(tmp_path: Path) -> None:
    for name, gray in (("b.png", GRAYS[2]), ("a.jpg", GRAYS[1]), ("c.PNG", GRAYS[3][:40, :30])):
        write_image(tmp_path / name, gray)
    write_image(tmp_path / "d.png", np.dstack([GRAYS[4], GRAYS[5], GRAYS[6]]))
    (tmp_path / "e.jpg").write_text("torn")
    (tmp_path / "f.png").touch()
    (tmp_path / "notes.txt").write_text("no image")
    source = ImageFolder(tmp_path, Settings(fps=4.0), FakeClock())
    source.open()
    frames = [source.read() for _ in range(6)]
    with pytest.raises(EndOfStream):
        source.read()
    assert [f and f.gray.shape for f in frames] == [(48, 64), (48, 64), (40, 30), (48, 64), None, None]
    assert [f.mono_ns for f in frames if f] == [5_000_000_000 + n * 250_000_000 for n in range(4)]
    assert frames[1] is not None and np.array_equal(frames[1].gray, GRAYS[2])


def test_the_synthetic_camera_keeps_its_frame_rate_and_is_reproducible() -> None:
    clock = FakeClock()
    source = SyntheticCamera(Settings(fps=5.0, width_px=160, height_px=120), clock)
    source.open()
    frames = [source.read() for _ in range(5)]
    assert [f and (f.seq, f.mono_ns) for f in frames] == [(n, 5_000_000_000 + n * 200_000_000) for n in range(5)]
    clock.now_ns += 10_000_000_000  # held up: one frame at once, then the pace again, no burst
    late = [source.read() for _ in range(3)]
    assert [f and (f.mono_ns - 15_800_000_000) / 1e6 for f in late] == [0, 200, 400]
    assert frames[3] is not None and np.array_equal(frames[3].gray, face_frame(3 / 5.0, 160, 120))


def test_a_slow_synthetic_camera_does_not_delay_the_end() -> None:
    clock = FakeClock()
    source = SyntheticCamera(Settings(fps=0.1), clock)
    source.open()
    assert source.read() is not None
    assert source.read() is None
    assert sum(clock.slept_s) < 1


def test_a_network_camera_in_gray(tmp_path: Path) -> None:
    with network_camera(lambda t: np.full((48, 64), 40 + int(t * 100) % 50, np.uint8)) as camera:
        source = NetworkStream(camera.address(), Settings(open_s=10.0), SystemClock())
        source.open()
        try:
            first, second = source.read(), source.read()
        finally:
            source.close()
    assert first is not None and second is not None
    assert first.gray.shape == (48, 64) and 35 < first.gray.mean() < 95
    assert second.mono_ns > first.mono_ns
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/…", source.describe().name)


@contextmanager
def http_camera(side: int = 64, host: str = "127.0.0.1", redirect: str = "", head: bytes = b"") -> Iterator[str]:
    """The address of a camera that sends MJPEG pictures of `side` px, or redirects, and notes the requests' headers."""
    _, picture = cv2.imencode(".jpg", np.zeros((side, side), np.uint8))
    jpeg = picture.tobytes()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            if self.path == "/moved":
                self.send_response(302)
                self.send_header("Location", redirect or f"http://{host}:{server.server_port}/video")
                self.end_headers()
                return
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=b")
            self.end_headers()
            with suppress(OSError):
                for _ in range(200):
                    length = b"Content-Length: %d" % len(jpeg)
                    self.wfile.write(
                        b"--b\r\nContent-Type: image/jpeg\r\n" + (head or length) + b"\r\n\r\n" + jpeg + b"\r\n"
                    )

    server = ThreadingHTTPServer((host, 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://{host}:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def opened_size(camera: str, **settings: Any) -> tuple[int | None, int | None]:
    source = create_source(Settings(camera, open_s=5.0, **settings), SystemClock())
    try:
        source.open()
        return source.describe().width_px, source.describe().height_px
    finally:
        source.close()


def test_a_camera_is_redirected_within_its_host_and_to_another_one_only_where_asked() -> None:
    with http_camera(host="127.0.0.2") as other, http_camera(redirect=f"{other}/video?key=secret") as camera:
        with pytest.raises(CameraNotOpened, match="redirects to another host") as refused:
            opened_size(f"{camera}/moved")
        assert redact_url(other) in str(refused.value) and "secret" not in str(refused.value)
        assert opened_size(f"{camera}/moved", camera_redirects=True) == (64, 64)
    with http_camera() as camera:
        assert opened_size(f"{camera}/moved") == (64, 64)


@pytest.mark.parametrize("location", ["http://[", "file://{}", "ftp://127.0.0.1/a", "http://127.0.0.1/" + "a" * 3000])
def test_a_camera_is_redirected_to_no_file_and_to_no_address_that_is_none(tmp_path: Path, location: str) -> None:
    clip = tmp_path / "clip.avi"
    write_video(clip, GRAYS)
    with (
        http_camera(redirect=location.format(clip)) as camera,
        pytest.raises(CameraNotOpened, match="gave no video within 5 s"),
    ):
        opened_size(f"{camera}/moved", camera_redirects=True)


def test_a_camera_with_too_large_pictures_is_refused() -> None:
    with (
        http_camera(side=4112) as camera,
        pytest.raises(CameraNotOpened, match="4112 × 4112 pixels; at most 16,777,216"),
    ):
        opened_size(f"{camera}/video")


@pytest.mark.parametrize(
    ("camera", "password", "words"),
    [
        ("rtsp://u@h:1/a", "p@ss/ #1", "rtsp://u:p%40ss%2F%20%231@h:1/a"),
        ("http://u@[::1]/a?b", "pw", "http://u:pw@[::1]/a?b"),
    ],
)
def test_a_cameras_password_comes_from_a_file(tmp_path: Path, camera: str, password: str, words: str) -> None:
    path = tmp_path / "password"
    path.write_text(f"{password}\n")
    with pytest.raises(UsageError, match=r"the camera's password .* can be read by others"):
        path.chmod(0o644)
        with_password(camera, path)
    path.chmod(0o600)
    assert with_password(camera, path) == words
    for wrong in ("rtsp://h/a", "rtsp://u:p@h/a"):
        with pytest.raises(UsageError, match="a user and no password"):
            with_password(wrong, path)
        with pytest.raises(UsageError, match="a user and no password"):
            create_source(Settings(wrong, camera_password_file=path, wait_camera=True), FakeClock())


SHORT_OF_MEMORY = r"""
import re, resource, sys
from pathlib import Path
from device.camera.factory import create_source
from device.camera.source import SourceLost
from device.clock import SystemClock
from device.config import Settings
source = create_source(Settings(sys.argv[1], open_s=10.0), SystemClock())
source.open()
print(source.read().seq)
soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
data_bytes = int(re.search(r"VmData:\s+(\d+)", Path("/proc/self/status").read_text())[1]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (data_bytes + (8 << 20), hard))
try:
    print(source.read())
except SourceLost as lost:
    print(lost)
resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
print(source.read().seq)
"""


def frames_short_of_memory(camera: str) -> list[str]:
    """What three reads of a source give, of which the second has too little memory."""
    command = [sys.executable, "-c", SHORT_OF_MEMORY, camera]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()


def test_a_picture_for_which_there_is_no_memory_is_skipped_in_a_recording_and_a_loss_of_a_camera(
    tmp_path: Path,
) -> None:
    write_video(tmp_path / "large.avi", [np.full((4096, 4096), value, np.uint8) for value in range(4)], code="MJPG")
    assert frames_short_of_memory(str(tmp_path / "large.avi")) == ["0", "None", "2"]
    with http_camera(side=4096) as camera:
        first, lost, second = frames_short_of_memory(f"{camera}/video")
    assert (first, second) == ("0", "1")
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/… gave no picture \((MemoryError|error): .*\)", lost), lost


HUGE = r"""
import re, sys
from pathlib import Path
from fer_edge.cli import main
code = main(["run", "--camera", sys.argv[1], "--bundle", "nano", "--log", sys.argv[2], "--config", sys.argv[3]])
print(code, int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) // 1024)
"""


@pytest.mark.parametrize(
    ("after", "reason"),
    [("unlinked", "was unplugged"), ("linked to another", "was unplugged"), ("linked", "gave no picture")],
)
def test_an_unplugged_camera_is_told_from_a_stalled_one_though_its_link_goes_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: str, reason: str
) -> None:
    link = tmp_path / "camera"
    (tmp_path / "video0").touch()
    (tmp_path / "video1").touch()
    link.symlink_to(tmp_path / "video0")

    class Udev(FakeClock):
        """A clock by which udev needs half a second."""

        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            if sum(self.slept_s) >= 0.5 and after != "linked":
                link.unlink(missing_ok=True)
                if after == "linked to another":
                    link.symlink_to(tmp_path / "video1")

    # every read of an unplugged camera fails; tests/vm has a real one
    reader = Mock(**{"isOpened.return_value": True, "get.return_value": 0.0, "read.return_value": (False, None)})
    monkeypatch.setattr("device.camera.usb.open_v4l2", Mock(return_value=reader))
    camera = UsbCamera(link, Settings(), Udev())
    camera.open()
    with pytest.raises(SourceLost, match=f"{re.escape(str(link))} {reason}$"):
        camera.read()


def test_a_camera_with_huge_pictures_does_not_take_the_memory(tmp_path: Path) -> None:
    """A picture of 12,000 × 12,000 pixels: 2 MB that become 1 GB."""
    with http_camera(side=12_000) as camera:
        (tmp_path / "settings.toml").write_text("open_s = 10.0\nreopen_s = 0.0\n")
        command = [
            sys.executable,
            "-c",
            HUGE,
            f"{camera}/video",
            str(tmp_path / "log"),
            str(tmp_path / "settings.toml"),
        ]
        ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    code, megabytes = map(int, ran.stdout.split()[-2:])
    assert code in (4, 75) and "Traceback" not in ran.stderr, ran.stderr
    assert megabytes < 400  # of the unit
