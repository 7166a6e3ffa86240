"""Small generated tables with known truth, for tests that need a run from files."""

from pathlib import Path

import numpy as np
import pandas as pd


def small_tables(
    n: int = 160, names: tuple[str, ...] = ("P", "A", "B", "C", "D", "hot"), seed: int = 0
) -> tuple[pd.DataFrame, pd.DataFrame]:
    "Response and predictors of n genes; the first name is the pTF, its products with the next two act."
    rng = np.random.RandomState(seed)
    ids = pd.Index([f"G{i:04d}" for i in range(n)], name="gene")
    binding = pd.DataFrame(rng.lognormal(0, 0.8, (n, len(names))) * (rng.rand(n, len(names)) < 0.6), ids, list(names)).round(6)
    effect = 0.9 * binding.iloc[:, 0] * binding.iloc[:, 1] - 0.6 * binding.iloc[:, 0] * binding.iloc[:, 2] + rng.standard_t(6, n)
    return effect.round(6).to_frame(names[0]), binding


def write_tables(folder: Path, response: pd.DataFrame, predictors: pd.DataFrame) -> list[str]:
    "Write both tables; returns the options that name them."
    response.to_csv(folder / "response.csv")
    predictors.to_csv(folder / "predictors.csv")
    return ["--response_file", str(folder / "response.csv"), "--predictors_file", str(folder / "predictors.csv")]


def files_of(folder: Path) -> dict[str, bytes]:
    "Content of every file below a folder, by relative path."
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
