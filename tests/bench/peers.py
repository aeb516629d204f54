"""`python -m tests.bench.peers --data PATH --bundle DIR … --out DIR`: compares our models with those of package registries.

From the repository's root. Writes peers.json, peers.md and peers.png into DIR. Peers are fetched by pip and npm once.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import sys
from pathlib import Path

import numpy as np

import fer_edge
from convert.data.loader import load
from convert.data.samples import Samples, fingerprint
from convert.evaluate.bootstrap import DRAWS
from convert.tflite.graph import Graph
from convert.tflite.inspection import multiply_adds, parameter_count
from convert.train.history import TrainingHistory
from fer_edge.atomic_file import write_atomically
from fer_edge.bundle import Bundle
from fer_edge.bundle_files import sha256_of
from fer_edge.classifier import find_runtime
from fer_edge.errors import DataError, UsageError, exit_code_of
from fer_edge.hardware import board_name
from fer_edge.labels import LABELS
from tests.bench.comparison_plot import picture
from tests.bench.comparison_table import markdown
from tests.bench.latency import Latency, take_turns
from tests.bench.model_metrics import Standing, difference, drawn, standing
from tests.bench.peer_comparison import Comparison, Entry, Pair
from tests.bench.peer_networks import PEERS, Network, Peer, fetch

CHUNK = 64  # images between two steps of the progress bar
REFERENCE = PEERS[0].name  # what the ratios of latency are to
SIDE = 48  # px of the crops that peers are given: FER2013's own
PARTS: dict[str, dict[str, tuple[str, ...]]] = {  # what --part looks at: sets of images, the picture's first
    "validation": {"validation": ("validation",)},
    "test": {"test": ("test",), "validation and test": ("validation", "test")},
}


def compare(data: Path, bundles: list[Path], peers: list[Peer], part: str = "validation") -> Comparison:
    """Every bundle and peer on one part of the set at `data`, FER2013 in any form that `convert.data` reads.

    Raises UsageError or BundleRefused, before anything is measured, when a bundle or a peer cannot be had.
    """
    loaded = [Bundle.load(path) for path in bundles]
    _refuse_unfit(loaded)
    files = {peer.name: fetch(peer) for peer in peers}
    runtime = find_runtime()
    timed = {b.name: b.model for b in loaded} | {p.name: files[p.name][0] for p in peers if p.is_tflite}
    latencies = take_turns(timed, REFERENCE)
    load_average = os.getloadavg()[0]
    samples = {side: load(data, side) for side in {SIDE, *(b.side for b in loaded)}}
    named = samples[SIDE]
    used = sorted({p for parts in PARTS[part].values() for p in parts})
    rows = np.flatnonzero(np.isin(named.split, used))
    y, split = named.y[rows], named.split[rows]
    sets = {name: np.isin(split, parts) for name, parts in PARTS[part].items()}
    if empty := [name for name in used if not (split == name).any()]:
        raise DataError(f"{data} has no image in its {' and '.join(empty)} part; choose another with --part")

    logits = {b.name: _bundle_logits(b, samples[b.side], rows) for b in loaded}
    logits |= {p.name: _peer_logits(p, p.network(files[p.name]), named.x[rows, :, :, 0]) for p in peers}
    done = {
        model: {name: drawn(outputs[these], y[these]) for name, these in sets.items()}
        for model, outputs in logits.items()
    }
    found = {model: {name: standing(d, LABELS) for name, d in own.items()} for model, own in done.items()}
    pairs = tuple(
        Pair(b.name, p.name, name, difference(done[b.name][name], done[p.name][name]))
        for name in sets
        for b in loaded
        for p in peers
    )
    entries = [_entry_of_bundle(b, found[b.name], latencies[b.name], runtime.id) for b in loaded]
    entries += [_entry_of_peer(p, files[p.name], found[p.name], latencies.get(p.name)) for p in peers]
    return Comparison(
        data=data.absolute().name,
        data_sha256=fingerprint(named).sha256,
        sets={name: int(these.sum()) for name, these in sets.items()},
        entries=tuple(entries),
        pairs=pairs,
        reference=REFERENCE,
        host=board_name()[0],
        load=load_average,
        runtime=runtime.id,
        versions=_versions(),
        draws=DRAWS,
    )


def write(comparison: Comparison, folder: Path) -> list[Path]:
    """The three files of a comparison, written into a folder that may hold others: all are made first, then put in place."""
    values = json.dumps(comparison.to_json(), indent=1, ensure_ascii=False) + "\n"
    made = {
        "peers.json": values.encode(),
        "peers.md": markdown(comparison).encode(),
        "peers.png": picture(comparison),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in made.items():
        write_atomically(folder / name, content)
    return [folder / name for name in made]


def in_order(outputs: np.ndarray, labels: tuple[str, ...]) -> np.ndarray:
    """Columns (N, K) that stand in the order of `labels`, in the order of LABELS."""
    return outputs[:, [labels.index(label) for label in LABELS]]


def logarithms(probabilities: np.ndarray) -> np.ndarray:
    """Probabilities as logits whose softmax they are; one that was rounded to 0 as the smallest float32 there is."""
    return np.log(np.maximum(probabilities, np.finfo(np.float32).tiny))


def _bundle_logits(bundle: Bundle, samples: Samples, rows: np.ndarray) -> np.ndarray:
    """The bundle's logits, in the order of LABELS: what `classify` ranks, at temperature 1, as the reports have it."""
    faces = samples.x[rows, :, :, 0]
    return in_order(_in_chunks(bundle.classifier.logits, faces, bundle.name), bundle.labels)


def _peer_logits(peer: Peer, network: Network, faces: np.ndarray) -> np.ndarray:
    def outputs(chunk: np.ndarray) -> np.ndarray:
        return network(peer.view(chunk))

    return logarithms(in_order(_in_chunks(outputs, faces, peer.name), peer.labels))


def _in_chunks(network: Network, faces: np.ndarray, name: str) -> np.ndarray:
    """What a network says of all the faces, with a progress bar on stderr."""
    from tqdm import tqdm

    found = []
    with tqdm(total=len(faces), desc=name, unit="img", mininterval=0.5 if sys.stderr.isatty() else 60) as bar:
        for start in range(0, len(faces), CHUNK):
            found.append(network(faces[start : start + CHUNK]))
            bar.update(len(found[-1]))
    return np.concatenate(found)


def _entry_of_bundle(bundle: Bundle, found: dict[str, Standing], latency: Latency, runtime: str) -> Entry:
    content = bundle.model.read_bytes()
    return Entry(
        name=bundle.name,
        ours=True,
        origin=f"bundle {bundle.sha256[:12]}, {runtime}",
        files={bundle.model.name: sha256_of(bundle.model)},
        bytes=len(content),
        side=bundle.side,
        parameters=parameter_count(Graph(content)),
        multiply_adds=multiply_adds(Graph(content)),
        trained_on=_trained_on(bundle),
        standings=found,
        latency=latency,
    )


def _trained_on(bundle: Bundle) -> str:
    path = bundle.path / "history.json"
    labels = TrainingHistory.read(path).known_outside_labels if path.is_file() else None
    return f"see its CARD.md{f'; outside labels: {labels}' if labels else ''}"


def _entry_of_peer(peer: Peer, files: list[Path], found: dict[str, Standing], latency: Latency | None) -> Entry:
    content = files[0].read_bytes()
    return Entry(
        name=peer.name,
        ours=False,
        origin=peer.origin,
        files=dict(peer.files),
        bytes=sum(path.stat().st_size for path in files),
        side=peer.side,
        parameters=parameter_count(Graph(content)) if peer.is_tflite else None,
        multiply_adds=multiply_adds(Graph(content)) if peer.is_tflite else None,
        trained_on=peer.trained_on,
        standings=found,
        latency=latency,
    )


def _refuse_unfit(bundles: list[Bundle]) -> None:
    names = [bundle.name for bundle in bundles] + [peer.name for peer in PEERS]
    for bundle in bundles:
        if set(bundle.labels) != set(LABELS):
            raise UsageError(
                f"{bundle.path} tells {', '.join(bundle.labels)} apart; the peers tell {', '.join(LABELS)}: leave it out,"
                " its own report has its figures"
            )
        if names.count(bundle.name) > 1:
            raise UsageError(f"two models are called “{bundle.name}”; give each bundle once, under its own name")


def _versions() -> dict[str, str]:
    found = {"fer-edge": fer_edge.__version__, "python": platform.python_version()}
    for name in ("numpy", "opencv-python-headless", "scikit-learn", "tensorflow", "tensorflow-cpu", "keras"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def main(argv: list[str] | None = None) -> int:
    """Prints the comparison as Markdown, or JSON; 0 done, 2 bad input, 5 a bundle or a peer's file that is not right."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.peers", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="FER2013, in any form that convert.data reads")
    parser.add_argument("--bundle", type=Path, required=True, action="append", metavar="DIR", help="ours; repeatable")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="for peers.json, peers.md and peers.png")
    parser.add_argument(
        "--part", choices=sorted(PARTS), default="validation", help="test is for a release alone; default: validation"
    )
    parser.add_argument(
        "--peer",
        action="append",
        choices=[peer.name for peer in PEERS],
        metavar="NAME",
        help=f"repeatable; default: all of {', '.join(peer.name for peer in PEERS)}; the first is always measured",
    )
    parser.add_argument(
        "--times-of",
        type=Path,
        metavar="FILE.json",
        help="an earlier peers.json with the same networks, whose times are kept: new weights do not change them",
    )
    parser.add_argument("--json", action="store_true", help="print the comparison as JSON")
    args = parser.parse_args(argv)
    return exit_code_of(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    if args.out.exists() and not args.out.is_dir():  # said now and not after minutes
        raise UsageError(f"--out {args.out} is a file; name a folder")
    earlier = json.loads(args.times_of.read_text()) if args.times_of else None
    names = {REFERENCE, *(args.peer or [peer.name for peer in PEERS])}
    comparison = compare(args.data, args.bundle, [peer for peer in PEERS if peer.name in names], args.part)
    if earlier:
        comparison = comparison.with_times_of(earlier)
    written = write(comparison, args.out)
    text = json.dumps(comparison.to_json(), indent=1, ensure_ascii=False) + "\n"
    print(text if args.json else markdown(comparison), end="")
    print("fer-edge: written: " + ", ".join(str(path) for path in written), file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
