"""What all tests share."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    "The shared folder beside the project: real tables and golden runs."
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("../shared is not here: real tables and golden runs are only compared where it is")
    return folder


@pytest.fixture
def no_figures(monkeypatch):
    "Runs of this process write no figures, which take most of the time of a small run and have tests of their own."
    monkeypatch.setattr("tfbpmodeling.report.write_figures", lambda *_: None)
