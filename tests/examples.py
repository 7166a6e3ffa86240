"""What several tests share: tables in files, the files of a folder. The generated tables themselves are those of the notebooks."""

from pathlib import Path

import pandas as pd
import pytest

from tfbpmodeling.known_truth.simulation import example_batch, small_tables, write_reports  # noqa: F401 (tests import them from here)

# Sockets of a kernel that an earlier test has killed: they are collected whenever Python likes, also in the middle of a later test.
no_warnings = pytest.mark.filterwarnings("error", r"ignore:Unclosed \w+ <zmq:ResourceWarning")


def write_tables(folder: Path, response: pd.DataFrame, predictors: pd.DataFrame) -> list[str]:
    "Write both tables; returns the options that name them."
    response.to_csv(folder / "response.csv")
    predictors.to_csv(folder / "predictors.csv")
    return ["--response_file", str(folder / "response.csv"), "--predictors_file", str(folder / "predictors.csv")]


def files_of(folder: Path) -> dict[str, bytes]:
    "Content of every file below a folder, by relative path."
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
