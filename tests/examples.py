"""What several tests share: tables in files, the files of a folder. The generated tables themselves are those of the notebooks."""

from pathlib import Path

import pandas as pd
import pytest

import tfbpmodeling.batch
from tfbpmodeling.batch_workers import attempt
from tfbpmodeling.config import BatchConfig
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


class Here:
    "Stands for the processes of a batch: runs each factor in this process, without figures."

    slots = 1

    def __init__(self, config):
        self.done = []

    def start(self, name, task):
        with pytest.MonkeyPatch.context() as m:
            m.setattr("tfbpmodeling.report.write_figures", lambda *_: None)
            self.done.append((name, attempt(task)))

    def finished(self):
        done, self.done = self.done, []
        return done

    def close(self):
        pass


def run_here(config: BatchConfig) -> tfbpmodeling.batch.Batch:
    "A batch in this process."
    with pytest.MonkeyPatch.context() as m:
        m.setattr(tfbpmodeling.batch, "Local", Here)
        return tfbpmodeling.batch.run_batch(config, progress=False)
