"""Scenes without a face: drawn backs of heads, textures, noise, and shuffled pieces of faces.

They show how often a detector takes something else for a face. Everything is drawn by code except the pieces, which come from
the training and validation parts. FER2013's images without a face by FER+'s votes are not used, for many show people.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from convert.crops.synthetic_scenes import SCENE, paste_face
from convert.data.samples import Samples

_PIECES = 4  # of a face, each way, that are shuffled


@dataclass(frozen=True, slots=True)
class FacelessScene:
    """A scene uint8 (SCENE) without a face, and its kind, one of KINDS."""

    kind: str
    gray: np.ndarray


def faceless_scenes(samples: Samples, n: int, seed: int) -> Iterator[FacelessScene]:
    """`n` scenes without a face, the kinds by turns."""
    rng = np.random.default_rng(seed)
    faces = samples.x[samples.split != "test", :, :, 0]
    kinds = list(KINDS.items())
    for number in range(n):
        kind, draw = kinds[number % len(kinds)]
        yield FacelessScene(kind, draw(rng, faces))


def back_of_a_head(rng: np.random.Generator, faces: np.ndarray) -> np.ndarray:  # noqa: ARG001 - all kinds alike
    """A head from behind, with hair, ears, neck and shoulders, before a wall with a soft texture."""
    height, width = SCENE
    gray = _soft_noise(rng, width / rng.uniform(2, 12), rng.uniform(60, 200), rng.uniform(5, 30))
    high = rng.uniform(60, 360)  # px, of the head
    wide = high * rng.uniform(0.68, 0.85)
    x, y = rng.uniform(wide / 2, width - wide / 2), rng.uniform(high / 2, height - high / 2)
    skin, cloth, hair = rng.uniform(70, 210), rng.uniform(20, 230), rng.uniform(15, 170)
    _fill(gray, (x, y + 1.15 * high), (1.25 * wide, 0.6 * high), cloth)
    _fill(gray, (x, y + 0.5 * high), (0.28 * wide, 0.3 * high), skin)
    for side in (-1, 1):
        _fill(gray, (x + side * 0.5 * wide, y + 0.06 * high), (0.06 * wide, 0.12 * high), skin)
    mask = np.zeros(SCENE, np.float32)
    _fill(mask, (x, y), (wide / 2, high / 2), 1.0)
    grain = rng.standard_normal(SCENE).astype(np.float32)
    strands = np.asarray(cv2.GaussianBlur(grain, (0, 0), max(0.6, high / 150), sigmaY=max(2.0, high / 12)), np.float32)
    strands = strands * np.float32(rng.uniform(8, 30) / strands.std())
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    shade = 1 - 0.5 * np.clip(((columns - x) / wide) ** 2 + ((rows - y + 0.15 * high) / high) ** 2, 0, 1)
    soft = np.asarray(cv2.GaussianBlur(mask, (0, 0), max(0.5, high / 120)), np.float32)
    return _photographed(rng, gray * (1 - soft) + (hair * shade + strands) * soft)


def texture(rng: np.random.Generator, faces: np.ndarray) -> np.ndarray:  # noqa: ARG001
    """Cloud, stripes, tiles, bricks or blobs."""
    height, width = SCENE
    period, turn = rng.uniform(8, 90), rng.uniform(0, np.pi)
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    along = (columns * np.cos(turn) + rows * np.sin(turn)) / period
    across = (rows * np.cos(turn) - columns * np.sin(turn)) / period
    kind = int(rng.integers(5))
    if kind == 0:
        gray = sum(_soft_noise(rng, width / 2**octave, 0, 60 / octave) for octave in range(1, 7)) + np.float32(128)
    elif kind == 1:
        gray = 128 + 90 * np.sin(2 * np.pi * along)
    elif kind == 2:
        gray = 60 + 130 * ((np.floor(along) + np.floor(across)) % 2)
    elif kind == 3:
        shifted = along + 0.5 * (np.floor(across) % 2)
        gray = 150 - 90 * ((shifted % 1 < 0.08) | (across % 1 < 0.14)) + _soft_noise(rng, 20, 0, 20)
    else:
        gray = _soft_noise(rng, 100, rng.uniform(60, 200), 20)
        for _ in range(int(rng.integers(20, 120))):
            place = (rng.uniform(0, width), rng.uniform(0, height))
            _fill(gray, place, tuple(rng.uniform(3, 60, 2)), rng.uniform(0, 255))
    return _photographed(rng, np.asarray(gray, np.float32))


def noise(rng: np.random.Generator, faces: np.ndarray) -> np.ndarray:  # noqa: ARG001
    """Noise of one grain size."""
    sigma = rng.uniform(0, 12)
    gray = rng.standard_normal(SCENE).astype(np.float32)
    if sigma > 0.5:
        gray = np.asarray(cv2.GaussianBlur(gray, (0, 0), sigma), np.float32)
    return _photographed(rng, 128 + gray * np.float32(rng.uniform(10, 70) / gray.std()))


def shuffled_face(rng: np.random.Generator, faces: np.ndarray) -> np.ndarray:
    """A face cut into 16 pieces that are shuffled and turned, so that its textures are there and no face is."""
    face = cv2.resize(faces[int(rng.integers(len(faces)))], (48, 48))
    step = 48 // _PIECES
    pieces = [face[y : y + step, x : x + step] for y in range(0, 48, step) for x in range(0, 48, step)]
    turned = [np.rot90(pieces[i], int(rng.integers(4))) for i in rng.permutation(len(pieces))]
    mixed = np.vstack([np.hstack(turned[row * _PIECES : (row + 1) * _PIECES]) for row in range(_PIECES)])
    return _pasted(mixed, rng)


KINDS: dict[str, Callable[[np.random.Generator, np.ndarray], np.ndarray]] = {
    "back of a head": back_of_a_head,
    "texture": texture,
    "noise": noise,
    "shuffled face": shuffled_face,
}


def _pasted(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """An image uint8 (h, w) in a scene, as faces are: 60 to 400 px, at a random place."""
    size = round(float(np.exp(rng.uniform(np.log(60), np.log(400)))))
    xy = int(rng.integers(0, SCENE[1] - size + 1)), int(rng.integers(0, SCENE[0] - size + 1))
    return paste_face(image, size, xy)


def _soft_noise(rng: np.random.Generator, grain_px: float, mean: float, deviation: float) -> np.ndarray:
    """Noise float32 (SCENE) whose grains are about `grain_px` px."""
    height, width = (max(2, round(length / max(1.0, grain_px)) + 2) for length in SCENE)
    small = rng.standard_normal((height, width)).astype(np.float32)
    return np.asarray(mean + deviation * cv2.resize(small, SCENE[::-1], interpolation=cv2.INTER_CUBIC), np.float32)


def _fill(gray: np.ndarray, centre: tuple[float, float], radii: tuple[float, ...], level: float) -> None:
    """Draws a filled ellipse into float32 (H, W)."""
    x, y = (round(value) for value in centre)
    across, down = (max(1, round(value)) for value in radii)
    cv2.ellipse(gray, (x, y), (across, down), 0, 0, 360, level, -1)


def _photographed(rng: np.random.Generator, gray: np.ndarray) -> np.ndarray:
    """A drawing float32 (H, W) as a camera gives it: a little blurred and noisy, uint8."""
    blurred = cv2.GaussianBlur(gray, (0, 0), 0.8)
    return np.clip(np.rint(blurred + 2 * rng.standard_normal(gray.shape)), 0, 255).astype(np.uint8)
