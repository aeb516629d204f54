"""A training run that was not made by `python -m convert.train`, in words."""

from __future__ import annotations

from collections.abc import Sequence

from convert.train.history import ExternalTeacher, ExternalTraining


def external_training(run: ExternalTraining) -> list[str]:
    """The sentences of a model card on an external run, one line each."""
    lines = [
        f"This run was not made by `python -m convert.train`, but by {external_run(run)}. Data: {run.data}. The epoch"
        f" was chosen on {run.choice}.",
        f"Outside labels: {run.outside_labels or 'none'}.",
    ]
    if run.teachers:
        lines.append(f"Teachers: {'; '.join(map(_teacher, _by_network(run.teachers)))}.")
    return [*lines, *run.notes]


def external_run(run: ExternalTraining) -> str:
    """The script, framework, hardware and time of an external run, as part of a sentence."""
    return (
        f"{run.script.file} (SHA-256 {run.script.sha256[:16]}…) with {run.framework} on {run.hardware}, in {run.seconds:,.0f} s"
        " for the whole run"
    )


def _by_network(teachers: Sequence[ExternalTeacher]) -> list[list[ExternalTeacher]]:
    """The teachers in groups with the same network, in the order of the first of each."""
    groups: dict[str, list[ExternalTeacher]] = {}
    for teacher in teachers:
        groups.setdefault(teacher.network, []).append(teacher)
    return list(groups.values())


def _teacher(group: list[ExternalTeacher]) -> str:
    each = ", ".join(
        f"{teacher.val_accuracy:.4f}{' (with the outside labels)' if teacher.outside_labels else ''}"
        for teacher in group
    )
    return f"{group[0].network}, validation accuracy {each}"
