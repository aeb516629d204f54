"""The processes of a training on several hosts, as Keras' variables describe them; tests/backends trains with two."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from builders import pixel_text, write_pixel_csv

from convert.train.__main__ import main
from convert.train.processes import ONE_PROCESS, Processes
from fer_edge.errors import UsageError

TWO = {"KERAS_DISTRIBUTION_JOB_ADDRESSES": "10.0.0.1:12355", "KERAS_DISTRIBUTION_NUM_PROCESSES": "2"}


def test_without_the_variables_there_is_one_process() -> None:
    assert Processes.of({}) == Processes.of({"KERAS_DISTRIBUTION_NUM_PROCESSES": "1"}) == ONE_PROCESS
    assert ONE_PROCESS.is_first
    ONE_PROCESS.join()
    array = np.arange(6).reshape(3, 2)
    assert ONE_PROCESS.part(array) is not None and ONE_PROCESS.part(array).tolist() == array.tolist()
    assert ONE_PROCESS.from_first(array) is array


def test_each_process_has_its_rows_of_a_batch() -> None:
    found = [Processes.of({**TWO, "KERAS_DISTRIBUTION_PROCESS_ID": str(index)}) for index in range(2)]
    assert [process.address for process in found] == [("10.0.0.1", 12355)] * 2
    assert [process.is_first for process in found] == [True, False]
    batch = np.arange(8)
    assert [process.part(batch).tolist() for process in found] == [[0, 1, 2, 3], [4, 5, 6, 7]]


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({}, "PROCESS_ID must be a whole number from 0 to 1"),
        ({"KERAS_DISTRIBUTION_PROCESS_ID": "2"}, "from 0 to 1, not “2”"),
        ({"KERAS_DISTRIBUTION_PROCESS_ID": "-1"}, "from 0 to 1, not “-1”"),
        ({"KERAS_DISTRIBUTION_NUM_PROCESSES": "0"}, "from 1 to 4096, not “0”"),
        ({"KERAS_DISTRIBUTION_NUM_PROCESSES": "two\x1b[2J"}, r"not “two\\x1b\[2J”"),
        ({"KERAS_DISTRIBUTION_NUM_PROCESSES": "9" * 5000}, "from 1 to 4096"),
        ({"KERAS_DISTRIBUTION_PROCESS_ID": "0", "KERAS_DISTRIBUTION_JOB_ADDRESSES": ""}, "the host and the port"),
        (
            {"KERAS_DISTRIBUTION_PROCESS_ID": "0", "KERAS_DISTRIBUTION_JOB_ADDRESSES": "10.0.0.1"},
            "such as 10.0.0.1:12355",
        ),
        ({"KERAS_DISTRIBUTION_PROCESS_ID": "0", "KERAS_DISTRIBUTION_JOB_ADDRESSES": "a:70000"}, "not “a:70000”"),
        ({"KERAS_DISTRIBUTION_PROCESS_ID": "0", "KERAS_DISTRIBUTION_JOB_ADDRESSES": "a:" + "9" * 5000}, "not “a:999"),
    ],
)
def test_a_wrong_variable_is_refused_in_a_sentence(changed: dict[str, str], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        Processes.of({**TWO, **changed})


@pytest.mark.parametrize("name", ["KERAS_DISTRIBUTION_JOB_ADDRESSES", "KERAS_DISTRIBUTION_PROCESS_ID"])
def test_a_variable_without_the_number_of_processes_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="NUM_PROCESSES must be a whole number"):
        Processes.of({name: "0"})


@pytest.mark.parametrize(
    ("more", "named"),
    [(["--views-on", "host"], "leave out --views-on host"), ([], "several processes train on JAX only")],
)
def test_several_processes_train_on_jax_with_the_views_on_the_device(
    more: list[str], named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [(str(label), pixel_text(np.full((48, 48), label, np.uint8)), "Training") for label in range(7)]
    data = write_pixel_csv(tmp_path / "fer2013.csv", rows)
    for name, value in {**TWO, "KERAS_DISTRIBUTION_PROCESS_ID": "0"}.items():
        monkeypatch.setenv(name, value)
    words = ["--preset", "nano-short", "--data", str(data), "--out", str(tmp_path / "run"), *more]
    exits: list[int] = []
    monkeypatch.setattr(os, "_exit", exits.append)  # else these tests would end
    assert main(words) == 2 and exits == [2]
    assert named in capsys.readouterr().err and not (tmp_path / "run").exists()
