"""An RTSP server on loopback, told on stdin how to behave: well, hang, freeze. For the system's Python with GStreamer."""

import sys
import threading

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

FPS = 20
HOW = {"now": "well"}


class Factory(GstRtspServer.RTSPMediaFactory):
    """One encoder for all who look; its pictures are pushed by a timer, or not."""

    def __init__(self):
        super().__init__()
        self.number = 0
        self.set_shared(True)
        self.set_launch(
            "( appsrc name=source is-live=true format=time do-timestamp=true"
            f" caps=video/x-raw,format=GRAY8,width=320,height=240,framerate={FPS}/1"
            " ! videoconvert ! video/x-raw,format=I420 ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=10"
            " ! rtph264pay name=pay0 pt=96 )"
        )

    def do_configure(self, media):
        source = media.get_element().get_by_name_recurse_up("source")
        stopped = threading.Event()
        media.connect("unprepared", lambda _: stopped.set())
        threading.Thread(target=self.push, args=(source, stopped), daemon=True).start()

    def push(self, source, stopped):
        while not stopped.wait(1 / FPS):
            if HOW["now"] == "hang":
                continue
            self.number += HOW["now"] != "freeze"
            row = bytearray([90] * 320)
            x = self.number * 7 % 300
            row[x : x + 20] = bytes([200] * 20)
            source.emit("push-buffer", Gst.Buffer.new_wrapped(bytes(row) * 240))


def main():
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(sys.argv[1])
    factory = Factory()
    factory.connect("media-configure", lambda f, media: f.do_configure(media))
    server.get_mount_points().add_factory("/stream", factory)
    assert server.attach(None)

    def listen():
        for line in sys.stdin:
            HOW["now"] = line.strip()

    threading.Thread(target=listen, daemon=True).start()
    print("ready", flush=True)
    GLib.MainLoop().run()


main()
