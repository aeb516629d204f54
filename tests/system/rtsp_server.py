"""An RTSP camera on loopback, for the system's Python with GStreamer: one encoder that always runs and serves all clients.

    /usr/bin/python3 rtsp_server.py PORT [PICTURES_BETWEEN_KEY_FRAMES]

Told on stdin how to behave: well, hang (connections stay open, silent), freeze (one picture for ever), garbage (the bytes
of each coded picture), small (another size). As a camera's, its encoder does not wait for anybody: who comes in between
two key frames has to wait for the next.
"""

import os
import sys
import threading

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

FPS = 20
HEAD = 48  # bytes of a coded picture that garbage leaves: its size and kind, nothing of what it shows
CODED = "video/x-h264,stream-format=byte-stream,alignment=au"


class Encoder:
    """Pictures with a bar that moves, encoded as H.264 at `FPS`, each handed to `take` as it comes."""

    def __init__(self, take, key_frames):
        self.how = "well"
        self.number = 0
        self.take, self.key_frames = take, key_frames
        self.begun = threading.Event()
        self.size, self.pipeline, self.source = None, None, None

    def run(self):
        """Encodes for ever."""
        pause = threading.Event()
        while not pause.wait(1 / FPS):
            size = (160, 120) if self.how == "small" else (320, 240)
            if size != self.size:
                self.begin(size)
            self.number += self.how != "freeze"
            width, height = size
            row = bytearray([90] * width)
            x = self.number * 7 % (width - 20)
            row[x : x + 20] = bytes([200] * 20)
            self.source.emit("push-buffer", Gst.Buffer.new_wrapped(bytes(row) * height))

    def begin(self, size):
        if self.pipeline is not None:
            self.pipeline.set_state(Gst.State.NULL)
        # Of constant quality: the same picture twice is the same picture again when it is decoded.
        self.pipeline = Gst.parse_launch(
            "appsrc name=source is-live=true format=time do-timestamp=true"
            f" caps=video/x-raw,format=GRAY8,width={size[0]},height={size[1]},framerate={FPS}/1"
            " ! videoconvert ! video/x-raw,format=I420 ! x264enc tune=zerolatency speed-preset=ultrafast pass=quant"
            f" key-int-max={self.key_frames} ! {CODED} ! appsink name=sink emit-signals=true sync=false"
        )
        self.size, self.source = size, self.pipeline.get_by_name("source")
        self.pipeline.get_by_name("sink").connect("new-sample", self.coded)
        self.pipeline.set_state(Gst.State.PLAYING)

    def coded(self, sink):
        buffer = sink.emit("pull-sample").get_buffer()
        unit = buffer.extract_dup(0, buffer.get_size())
        if self.how == "garbage":
            unit = unit[:HEAD] + os.urandom(max(0, len(unit) - HEAD))
        if self.how != "hang":
            self.take(unit)
        self.begun.set()
        return Gst.FlowReturn.OK


class Onlookers:
    """Everybody who looks on: one source of coded pictures each."""

    def __init__(self):
        self.sources = set()

    def configure(self, _, media):
        source = media.get_element().get_by_name_recurse_up("source")
        self.sources.add(source)
        media.connect("unprepared", lambda _: self.sources.discard(source))

    def take(self, unit):
        for source in tuple(self.sources):
            source.emit("push-buffer", Gst.Buffer.new_wrapped(unit))


def main():
    Gst.init(None)
    _ = Gst.Buffer.new_wrapped, Gst.Buffer.extract_dup  # looked up here once: two threads at a time would spoil it
    onlookers = Onlookers()
    Gst.ElementFactory.make("rtph264pay")  # or the first who asks waits until it was found
    encoder = Encoder(onlookers.take, int(sys.argv[2]) if len(sys.argv) > 2 else FPS)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(sys.argv[1])
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(
        f"( appsrc name=source is-live=true format=time do-timestamp=true caps={CODED}"
        " ! rtph264pay name=pay0 pt=96 config-interval=-1 )"
    )
    factory.connect("media-configure", onlookers.configure)
    server.get_mount_points().add_factory("/stream", factory)
    assert server.attach(None)

    def listen():
        for line in sys.stdin:
            encoder.how = line.strip()

    threading.Thread(target=listen, daemon=True).start()
    threading.Thread(target=encoder.run, daemon=True).start()
    encoder.begun.wait()
    print("ready", flush=True)
    GLib.MainLoop().run()


main()
