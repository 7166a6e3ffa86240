"""docs/calibration.md: the tables and figures of a study in the places that its text keeps for them. Usage: python docs/calibration.py FOLDER"""

import json
import re
import shutil
import sys
from pathlib import Path

import pandas as pd

from tfbpmodeling.known_truth.calibration import coverage_table, failures, rate_table, verdicts

PAGE = Path(__file__).with_suffix(".md")
FIGURES = PAGE.with_suffix("")


def markdown(table: pd.DataFrame) -> str:
    "A table as markdown."
    rows = [list(table.columns), ["---"] * table.shape[1], *table.astype(str).to_numpy().tolist()]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def pooled(summary: pd.DataFrame, q: float) -> pd.DataFrame:
    "Mean false discovery rate over cells, each the same weight, by method and residuals; its error from those of the cells."
    groups = verdicts(summary, q).groupby(["method", "residuals"], sort=False)
    mean, error = groups["fdr"].mean(), groups["error"].agg(lambda e: (e**2).sum() ** 0.5 / len(e))
    table = (mean.map("{:.3f} ± ".format) + error.map("{:.3f}".format)).unstack("residuals")
    return failures(summary, q).merge(table.add_prefix("mean rate, "), left_on="method", right_index=True)


def parts(folder: Path) -> dict[str, str]:
    "What stands between the marks of the page."
    options = json.loads((folder / "calibration.json").read_text(encoding="utf-8"))["parameters"]
    summary, q = pd.read_csv(folder / "calibration.csv"), options["inference_q"]
    said = ", ".join(f"`--{name} {value}`" for name, value in options.items() if name not in ("output_dir", "n_jobs"))
    return {
        "options": f"Options: {said}.",
        "failures": markdown(pooled(summary, q).assign(**{"largest rate": lambda t: t["largest rate"].round(2)})),
        "rates": markdown(rate_table(summary, q)),
        "power": markdown(rate_table(summary, q, "power")),
        "coverage": markdown(coverage_table(summary)),
    }


def main(folder: Path) -> None:
    text = PAGE.read_text(encoding="utf-8")
    for name, part in parts(folder).items():
        text = re.sub(rf"(<!-- {name} -->\n).*?(<!-- end -->)", lambda m: f"{m[1]}{part}\n{m[2]}", text, flags=re.DOTALL)  # noqa: B023
    PAGE.write_text(text, encoding="utf-8")
    FIGURES.mkdir(exist_ok=True)
    for name in ("rates", "power_both"):
        shutil.copy(folder / "figures" / f"{name}.png", FIGURES)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
