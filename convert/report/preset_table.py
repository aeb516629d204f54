"""The table of the presets that have no release: their size, the published figure, and ours."""

from __future__ import annotations

from dataclasses import dataclass

from convert.train.networks import NETWORKS, build_network, count_layers, count_multiply_adds, count_parameters

BEGIN = "<!-- presets, written by `python -m convert.readme`; do not edit by hand -->"
NOT_TRIED = "not tried in full"


@dataclass(frozen=True)
class Unreleased:
    """What the table says of a preset besides its size."""

    what: str
    published: str = ""  # accuracy, and on which images
    ours: str = NOT_TRIED  # accuracy of a run with all epochs of the recipe


UNRELEASED = {
    "adapted-residual": Unreleased(
        "adapted residual network ([Bah and Xue 2022](https://doi.org/10.20517/ir.2021.16)), trained on FER2013 alone",
        "75 % on 2,465 random images of FERGIT; not comparable with PrivateTest",
    ),
    "edge-again": Unreleased(
        "`edge` trained again from itself (`--init` and `--teacher`) at full size",
        ours=f"{NOT_TRIED}: stopped after two of ten epochs for lack of time",
    ),
    "edge-crops": Unreleased(
        "`edge` trained further on views as a detector's boxes are, from itself and from `large` (`--init` and `--teacher`)",
        ours="the released [edge](edge/CARD.md)",
    ),
    "large-crops": Unreleased(
        "`large` trained further in the same way, from itself and from `large` and `edge` (`--init` and `--teacher`)",
        ours="the released [large](large/CARD.md)",
    ),
    "edge-mask": Unreleased("`edge` with an attention mask after its second and third stage"),
    "resemotenet": Unreleased(
        "ResEmoteNet ([arXiv 2409.10545](https://arxiv.org/abs/2409.10545)), its authors' recipe",
        "79.79 % on FER2013; others who trained it report 58 to 72 %",
    ),
    "rmn": Unreleased(
        "Residual Masking Network ([arXiv 2603.05937](https://arxiv.org/abs/2603.05937)), its authors' recipe, from random"
        " weights",
        "74.14 % on PrivateTest, mean over random views of each image; the paper sizes its input for ImageNet weights",
    ),
    "rmn-48": Unreleased(
        "Residual Masking Network at 48 px: two blocks a stage, sigmoid masks of constant width, the recipe of `edge`"
    ),
    "edge-short": Unreleased(
        "`edge` by an earlier recipe, for a processor: 84 epochs, on smaller images at first",
        ours="an earlier `edge`, 70.6 %, in this repository's history",
    ),
    "nano-short": Unreleased(
        "`nano` by the recipe of the release before this one, for a processor: 84 epochs, of whose views a teacher sees twelve",
        ours="the `nano` before this one, in this repository's history",
    ),
    "nano-5x5": Unreleased(
        "`nano-short` with a stem of stride 2 and 5×5 depthwise convolutions in its last two blocks"
    ),
    "teacher": Unreleased(
        "the blocks of `large`, wider; 113 epochs; with `--votes` a second head learns FER+'s votes",
        ours="three were trained by this recipe in PyTorch: PublicTest accuracies in [large](large/CARD.md)",
    ),
}


def block() -> str:
    """The table of all presets in UNRELEASED, with figures of cost from their networks as they are built for 48 px."""
    return "\n".join(
        [
            "| preset | what it is | layers | parameters | multiply-adds, M | published | ours |",
            "|---|---|---|---|---|---|---|",
            *(_row(name, preset) for name, preset in UNRELEASED.items()),
        ]
    )


def _row(name: str, preset: Unreleased) -> str:
    model = build_network(NETWORKS[name])
    cost = f"{count_layers(model)} | {count_parameters(model):,} | {count_multiply_adds(model) / 1e6:,.0f}"
    return f"| `{name}` | {preset.what} | {cost} | {preset.published} | {preset.ours} |"
