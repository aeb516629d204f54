"""Cameras on the kernel's own drivers: a USB webcam on uvcvideo, faults of V4L2 by vivid, and what the journal says of each."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.vm.image import SITE
from tests.vm.machine import CODE, Machine
from tests.vm.scenario import BY_ID, Outcome, watch

Record = Callable[[str, object], None]
WEBCAM = BY_ID.format("0001")


def check_faces(outcome: Outcome) -> None:
    """Each processed frame of the run has the face that the camera shows."""
    end = outcome.of("end")[0]
    assert end["faces"] >= 1 and end["readings"] >= end["frames"]["processed"] * 0.9, outcome.messages


@pytest.mark.quick
@pytest.mark.parametrize("pixels", ["yuyv", "mjpg"])
def test_a_usb_camera_by_its_stable_link(machine: Machine, pixels: str, record_property: Record) -> None:
    outcome = watch(machine, WEBCAM, "readings 5; stop", before=f"webcam {pixels}")
    record_property("says", outcome.says)
    machine.ssh("kill $(cat /root/webcam0.pid); sleep 2")
    assert outcome.code == 0, outcome.messages
    camera = outcome.of("header")[0]["camera"]
    assert (camera["kind"], camera["name"], camera["width_px"], camera["height_px"], camera["fps"]) == (
        ("usb", WEBCAM, 320, 240, 10.0)
    )
    check_faces(outcome)


@pytest.mark.quick
def test_a_usb_camera_that_is_unplugged_comes_back_under_another_number(
    machine: Machine, record_property: Record
) -> None:
    # another camera takes the free number while the first is away
    script = "readings 3; unplug; lost 1; webcam mjpg 1 0002; webcam mjpg 0 0001; back 1; readings 8; "
    script += f"readlink -f {WEBCAM}; stop"
    outcome = watch(machine, WEBCAM, script, before=f"webcam mjpg; readlink -f {WEBCAM}")
    record_property("says", outcome.says)
    machine.ssh("kill $(cat /root/webcam0.pid) $(cat /root/webcam1.pid); sleep 2")
    nodes = [line for line in outcome.script_output.splitlines() if line.startswith("/dev/video")]
    assert outcome.code == 0 and len(set(nodes)) == 2, outcome
    assert outcome.changes == [("opened", ""), ("lost", f"{WEBCAM} was unplugged"), ("back", ""), ("closed", "")]
    check_faces(outcome)


OTHER_RUN = f"""( env PYTHONPATH={CODE}:{SITE} python3 -m fer_edge run --camera {BY_ID.format("0002")} --config settings.toml \\
  --name other --bundle nano --detector haar --log other >out2 2>messages2; echo $? >code2 ) & second=$!
count() {{ cat $1/*.jsonl 2>/dev/null | grep -c '"kind":"reading"'; }}
i=0; until [ $(count other) -ge 3 ] || [ -e code2 ] || [ $i -gt 1800 ]; do sleep 0.5; i=$((i+1)); done
readings $(($(count log)+3)); pkill -INT -f '^python3 -m fer_edge run .*--name other'; wait $second; stop
echo ==other; cat code2 messages2 other/*.jsonl
"""


def test_two_usb_cameras_are_read_at_once(machine: Machine, record_property: Record) -> None:
    outcome = watch(machine, WEBCAM, OTHER_RUN, before="rm -rf other code2; webcam mjpg 0 0001; webcam yuyv 1 0002")
    machine.ssh("kill $(cat /root/webcam0.pid) $(cat /root/webcam1.pid); sleep 2")
    text = outcome.script_output.partition("==other\n")[2]
    events = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    record_property("says", f"{outcome.says}; the other: exit {text.splitlines()[0]}")
    assert outcome.code == 0 and text.startswith("0\n"), (outcome.messages, text)
    assert outcome.of("header")[0]["camera"]["name"] == WEBCAM and events[0]["camera"]["name"] == BY_ID.format("0002")
    check_faces(outcome)
    end = events[-1]
    assert end["kind"] == "end" and end["readings"] >= end["frames"]["processed"] * 0.9, text


def test_a_usb_camera_that_stalls_is_lost_and_back(machine: Machine, record_property: Record) -> None:
    script = "w=$(cat /root/webcam0.pid); readings 3; kill -USR1 $w; lost 1; kill -USR2 $w; back 1; readings 6; stop"
    outcome = watch(machine, WEBCAM, script, before="webcam yuyv")
    record_property("says", outcome.says)
    machine.ssh("kill $(cat /root/webcam0.pid); sleep 2")
    assert outcome.code == 0, outcome.messages
    states = [state for state, _ in outcome.changes]
    assert states == ["opened", "lost", "back", "closed"] and "gave no picture" in outcome.changes[1][1]


def test_a_usb_camera_s_rounded_size_and_rate_are_reported_and_logged(
    machine: Machine, record_property: Record
) -> None:
    requested = {"width_px": "400", "height_px": "300", "fps": "20.0"}
    outcome = watch(machine, WEBCAM, "readings 2; stop", before="webcam yuyv", settings=requested)
    record_property("says", outcome.says)
    machine.ssh("kill $(cat /root/webcam0.pid); sleep 2")
    camera = outcome.of("header")[0]["camera"]
    assert (camera["requested_width_px"], camera["requested_height_px"]) == (400, 300)
    assert camera["requested_fps"] == 20.0 and camera["fps"] in (10.0, 30.0)
    assert f"the camera gives {camera['width_px']}×{camera['height_px']} at" in outcome.messages
    assert "not 400×300 at 20 as requested" in outcome.messages


def test_four_causes_of_a_camera_that_does_not_open(machine: Machine, record_property: Record) -> None:
    before = "webcam yuyv; "
    metadata = "/dev/v4l/by-id/usb-fer-edge_Test_Webcam_0001-video-index1"
    hold = f"v4l2-ctl -d {WEBCAM} --stream-mmap --stream-count 100000 >held 2>&1 & holder=$!; "
    hold += "until [ -s held ]; do sleep 0.5; done; "
    busy = watch(machine, WEBCAM, "kill $holder", before=before + hold)
    forbidden = watch(machine, WEBCAM, "", user="setpriv --reuid 1000 --regid 1000 --clear-groups env HOME=/srv/watch")
    no_capture = watch(machine, metadata, "")
    absent = watch(machine, BY_ID.format("0009"), "")
    machine.ssh("kill $(cat /root/webcam0.pid); sleep 2")
    record_property("says", " — ".join(o.says for o in (busy, forbidden, no_capture, absent)))
    assert [o.code for o in (busy, forbidden, no_capture, absent)] == [4, 4, 4, 4]
    assert f"another program uses {WEBCAM}; end it" in busy.messages
    assert f"{WEBCAM} may not be opened by this user; `sudo usermod -aG video" in forbidden.messages
    assert f"{metadata} is not a capture device, driver uvcvideo" in no_capture.messages
    assert "there is no camera /dev/v4l/by-id/usb-fer-edge_Test_Webcam_0009" in absent.messages


VIVID = "modprobe vivid n_devs=1 node_types=0x1; udevadm settle; sleep 1; "
VIVID_LINK = "/dev/v4l/by-path/platform-vivid.0-video-index0"


def with_vivid(machine: Machine, script: str, settings: dict[str, str] | None = None, control: str = "") -> Outcome:
    """A run on vivid's camera, which shows no face; the driver is loaded anew, and `control` set before the run."""
    before = f"{COUNTS}rmmod vivid 2>/dev/null; {VIVID}"
    before += f"v4l2-ctl -d {VIVID_LINK} -c {control}=1; " if control else ""
    settings = {"runtime": '"/srv/watch/run"', "health_s": "1.0", **(settings or {})}
    return watch(machine, VIVID_LINK, f"D={VIVID_LINK}; frames 3; {script}", before=before, settings=settings)


# vivid's picture has no face, so no reading can be awaited: the run's status file counts its frames.
# `status FIELD` prints a number of that file, `rewritten` waits for its next content, `frames N` for N frames more.
COUNTS = r"""
status() { tr , '\n' 2>/dev/null <run/camera.status.json | sed -n "s/.*\"$1\": *\([0-9.]*\).*/\1/p"; }
hold() { i=0; until eval "$1"; do
  [ -e code ] && return; i=$((i+1)); [ $i -gt 1800 ] && { echo "TIMEOUT: $1"; return; }; sleep 0.5; done; }
rewritten() { was=$(status mono_s); hold '[ "$(status mono_s)" != "$was" ]'; }
processed() { n=$(status processed); echo "${n:-0}"; }
frames() { goal=$(($(processed) + $1)); hold '[ "$(processed)" -ge $goal ]'; }
"""
UNBOUND = "echo vivid.0 >/sys/bus/platform/drivers/vivid/unbind"
BOUND = "echo vivid.0 >/sys/bus/platform/drivers/vivid/bind"
FAULTS = {
    "the driver is unbound and bound": (f"{UNBOUND}; lost 1; {BOUND}; back 1; frames 3; stop", "was unplugged", 0),
    "a fatal error of streaming": (
        "v4l2-ctl -d $D -c inject_fatal_streaming_error=1; lost 1; back 1; frames 3; stop",
        "gave no picture",
        0,
    ),
    "all buffers dropped": (
        "v4l2-ctl -d $D -c percentage_of_dropped_buffers=100; lost 1; "
        "v4l2-ctl -d $D -c percentage_of_dropped_buffers=0; back 1; frames 3; stop",
        "gave no picture",
        0,
    ),
    "unplugged for good": (f"{UNBOUND}; lost 1", "was unplugged", 75),
}


@pytest.mark.parametrize(
    "fault", [pytest.param(name, marks=pytest.mark.quick if "unbound" in name else ()) for name in FAULTS]
)
def test_a_fault_of_v4l2_is_a_loss_with_its_reason(machine: Machine, fault: str, record_property: Record) -> None:
    script, reason, code = FAULTS[fault]
    outcome = with_vivid(machine, script, settings={"reopen_s": "10.0"} if code else None)
    record_property("says", outcome.says)
    assert outcome.code == code, outcome.messages
    states = [state for state, _ in outcome.changes]
    assert states == (["opened", "lost", "closed"] if code else ["opened", "lost", "back", "closed"]), outcome.messages
    assert reason in outcome.changes[1][1]


HARMLESS = {
    "an error flag on a buffer": "inject_v4l2_buf_flag_error=1",
    "a wrapped sequence number": "wrap_sequence_number=1",
    "half the buffers dropped": "percentage_of_dropped_buffers=50",
}


@pytest.mark.parametrize("fault", HARMLESS)
def test_a_short_fault_of_v4l2_loses_no_camera_for_good(machine: Machine, fault: str, record_property: Record) -> None:
    script = f"v4l2-ctl -d $D -c {HARMLESS[fault]}; rewritten; "
    script += "echo before: $(processed); frames 5; echo after: $(processed); stop"
    outcome = with_vivid(machine, script)
    record_property("says", outcome.says)
    states = [state for state, _ in outcome.changes]
    assert outcome.code == 0 and states[0] == "opened" and states[-1] == "closed"
    assert states.count("lost") == states.count("back")
    before, after = (
        int(line.split()[1]) for line in outcome.script_output.splitlines() if line.startswith(("before: ", "after: "))
    )
    assert before + 5 <= after <= outcome.of("end")[0]["frames"]["processed"], "frames were read after the fault"


OPENING_ERRORS = ["inject_vidioc_streamon_error", "inject_vidioc_qbuf_error"]


@pytest.mark.parametrize("control", OPENING_ERRORS)
def test_an_error_while_opening_is_exit_4_with_a_sentence(
    machine: Machine, control: str, record_property: Record
) -> None:
    # the control fails one call; `repeat` sets it again until the run has ended
    repeat = f"(while [ ! -e code ]; do v4l2-ctl -d {VIVID_LINK} -c {control}=1; sleep 0.1; done) & "
    before = f"rmmod vivid 2>/dev/null; {VIVID}{repeat}"
    ended = "i=0; until [ -e code ] || [ $i -gt 1800 ]; do sleep 0.5; i=$((i+1)); done; stop"
    outcome = watch(machine, VIVID_LINK, ended, before=before, settings={"open_s": "2.0"})
    record_property("says", outcome.says)
    assert outcome.code == 4, outcome.messages
    assert "Traceback" not in outcome.messages and VIVID_LINK in outcome.messages


def test_an_error_of_one_request_for_buffers_is_survived(machine: Machine, record_property: Record) -> None:
    # the control fails one call; OpenCV then asks for one buffer less
    outcome = with_vivid(machine, "frames 3; stop", control="inject_vidioc_reqbufs_error")
    record_property("says", outcome.says)
    assert outcome.code == 0, outcome.messages
    assert [state for state, _ in outcome.changes] == ["opened", "closed"], outcome.messages
