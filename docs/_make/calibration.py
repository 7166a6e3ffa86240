"""docs/calibration.md: the numbers of a study in the places that its text keeps for them.

Usage: python docs/_make/calibration.py [FOLDER]. FOLDER is the output of `tfbpmodeling calibrate`; what the page needs of it is kept in docs/calibration_study/. Without it the page is made again from there."""

import json
import re
import shutil
import sys
from pathlib import Path

import pandas as pd

from tfbpmodeling.known_truth.calibration import (
    AXES,
    LISTS,
    corner_table,
    coverage_table,
    failures,
    found_table,
    rate_table,
    verdicts,
)
from tfbpmodeling.modeling_data import EXACT

PAGE = Path(__file__).resolve().parents[1] / "calibration.md"
KEPT = PAGE.with_name("calibration_study")
FIGURES = ("rates", "power_both")


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


def at_base(summary: pd.DataFrame, method: str, truth: str, metric: str = "fdr", residuals: str = "independent") -> str:
    "One number of the base of the grid, in percent, with its error."
    rows = summary[(summary[list(AXES)] == summary[list(AXES)].iloc[0]).all(axis=1)]
    row = rows.set_index(["method", "truth", "metric", "residuals"]).loc[(method, truth, metric, residuals)]
    if row["mean"] == row["error"] == 0:
        return f"0 % (in {row['n']:.0f} tables)"
    digits = 1 if row["error"] < 0.01 else 0
    return f"{100 * row['mean']:.{digits}f} ± {100 * row['error']:.{digits}f} %"


def for_the_report(summary: pd.DataFrame) -> list[str]:
    "What a run's report says of the study, under `How to read this`."

    def said(*which):
        return at_base(summary, *which)

    wrong, beyond, ols = (
        [said(m, t) for t in ("interactions", "both", "main_effects")] for m in ("survivors", "beyond main effects", "robust_ols")
    )
    published, least = ([said(m, "both", f"coverage_{k}") for k in ("active", "inactive")] for m in ("stage 2", "robust_ols"))
    return [
        "- How often is such a list wrong? On generated tables with known truth (800 genes, 20 other factors, 20 % signal, 98 and 90 %): where only interactions act, "
        f"{wrong[0]} of the survivors were false; where the pTF and other factors act by themselves as well (everything acts), {wrong[1]}; and where only other factors act, "
        f"{wrong[2]} of the tables gave a false survivor. *Beyond main effects*: {', '.join(beyond)}. `--inference robust_ols` at a rate of 10 %: {', '.join(ols)}. ± is the Monte Carlo error.",
        f"- What does an interval promise? Not that it holds the true coefficient: where everything acts a 98 % interval of stage 2 did so for {published[0]} of the terms that act (the lasso shrinks) and {published[1]} "
        f"of those that do not; least squares with robust errors for {least[0]} and {least[1]}.",
    ]


def rates(summary: pd.DataFrame, q: float) -> pd.DataFrame:
    "For each method and kind of residuals: cells, where the rate fails, mean and largest rate. The base of the grid alone as `at base`."
    table = verdicts(summary, q)
    base = (table[list(AXES)] == summary[list(AXES)].iloc[0]).all(axis=1)
    groups = table.assign(fails=~table["holds"], at_base=table["fdr"].where(base)).groupby(["method", "residuals"])
    return groups.agg(cells=("fdr", "size"), fails=("fails", "sum"), mean=("fdr", "mean"), largest=("fdr", "max"), base=("at_base", "mean"))


def conclusions(summary: pd.DataFrame, corners: pd.DataFrame, q: float) -> str:
    "The findings, as a list."
    by, found = rates(summary, q), found_table(summary).set_index("method")["power"]
    corner = rates(corners, q).xs("independent", level="residuals")

    def said(*which):
        return at_base(summary, *which)

    def holds(method: str) -> str:
        row = by.loc[(method, "independent")]
        failing = f"fails in {row['fails']:.0f} of {row['cells']:.0f}" if row["fails"] else f"holds in all {row['cells']:.0f}"
        return f"{failing} cells with independent residuals (mean rate {row['mean']:.3f}, largest {row['largest']:.2f}; mean power {found[method]})"

    def in_corners(method: str) -> str:
        row = corner.loc[method]
        return f"In the {row['cells']:.0f} corners where it is possible it fails in {row['fails']:.0f} (mean {row['mean']:.3f}, largest {row['largest']:.2f})."

    failing = verdicts(corners, q).query("method == 'knockoff' and not holds")
    noisy = (
        " Noise grows with binding there, and its promise is for errors of equal size."
        if len(failing) and (failing["noise_binding"] > 0).all()
        else ""
    )
    changed = ", ".join(
        f"`{m}` {by.loc[(m, 'independent'), 'base']:.3f} → {by.loc[(m, 'correlated'), 'base']:.3f} → {by.loc[(m, 'hidden'), 'base']:.3f}"
        for m in LISTS
    )
    points = [
        f"**The published rule at 98 and 90 %** finds {said('survivors', 'interactions', 'power')} of six planted interactions when nothing else acts, and {said('survivors', 'interactions')} of its survivors are false. It takes "
        f"main effects for interactions: where other factors act by themselves, {said('survivors', 'main_effects')} of the tables have a false survivor, and {said('survivors', 'both')} of the survivors are false where everything acts. "
        f"Stage 2 alone does so for the pTF's own effect as well ({said('stage 2', 'ptf')} of the tables, {said('stage 2', 'saturating')} where it saturates); stage 4 removes most of these ({said('survivors', 'ptf')}, "
        f"{said('survivors', 'saturating')}). Where nothing acts at all, {said('survivors', 'nothing')} have a survivor.",
        f"**Stage 5** leaves {said('selected', 'main_effects')} and {said('selected', 'both')}, **beyond main effects** {said('beyond main effects', 'main_effects')} and {said('beyond main effects', 'both')}, in the two cases with main "
        "effects of other factors. Neither states a rate.",
        f"**`robust_ols`** {holds('robust_ols')}. {in_corners('robust_ols')}",
        f"**`multi_split`** {holds('multi_split')}: it bounds the chance of any false interactor, which costs power.",
        f"**`stability`** promises no false discovery rate; it {holds('stability')}.",
        f"**`knockoff`** {holds('knockoff')}: six planted interactions are fewer than the ten that it needs at {q:g}. {in_corners('knockoff')}{noisy}",
        f"**Residuals that genes share.** Mean rate at the base over the six truths, with independent → correlated residuals → hidden factors: {changed}. Residuals that depend on each other in another way may do more.",
        f"**Intervals.** A 98 % percentile interval of stage 2 holds the true coefficient of {said('stage 2', 'interactions', 'coverage_active')} of the terms that act when only interactions do, of {said('stage 2', 'both', 'coverage_active')} "
        f"when everything acts; `robust_ols` {said('robust_ols', 'interactions', 'coverage_active')} and {said('robust_ols', 'both', 'coverage_active')}.",
    ]
    return "\n".join(f"- {point}" for point in points)


def study() -> tuple[pd.DataFrame, pd.DataFrame, dict]:
    "The kept tables: the grid, the corners, the options."
    tables = (pd.read_csv(KEPT / f"{name}.csv", **EXACT) for name in ("calibration", "corners"))
    return *tables, json.loads((KEPT / "options.json").read_text(encoding="utf-8"))


def page() -> str:
    "The page with its numbers."
    summary, corners, options = study()
    q = options["inference_q"]
    said = ", ".join(f"`--{name} {value}`" for name, value in options.items())
    parts = {
        "options": f"Options: {said}.",
        "failures": markdown(pooled(summary, q).assign(**{"largest rate": lambda t: t["largest rate"].round(2)})),
        "conclusions": conclusions(summary, corners, q),
        "rates": markdown(rate_table(summary, q)),
        "power": markdown(rate_table(summary, q, "power")),
        "found": markdown(found_table(summary)),
        "corners": markdown(corner_table(corners, q)),
        "coverage": markdown(coverage_table(summary)),
    }
    text = PAGE.read_text(encoding="utf-8")
    for name, part in parts.items():
        text, n = re.subn(rf"(<!-- {name} -->\n).*?(<!-- end -->)", lambda m: f"{m[1]}\n{part}\n\n{m[2]}", text, flags=re.DOTALL)  # noqa: B023
        assert n == 1, f"{PAGE} has no place for {name}"
    return text


def keep(folder: Path) -> None:
    "What the page needs of a study."
    KEPT.mkdir(exist_ok=True)
    shutil.copy(folder / "calibration.csv", KEPT)
    corners = pd.read_csv(folder / "corners.csv", **EXACT)
    corners[corners["metric"].isin(["fdr", "power"])].to_csv(KEPT / "corners.csv", index=False, lineterminator="\n", float_format="%.10g")
    options = json.loads((folder / "calibration.json").read_text(encoding="utf-8"))["parameters"]
    options = {name: value for name, value in options.items() if name not in ("output_dir", "n_cpus", "n_jobs")}
    (KEPT / "options.json").write_text(json.dumps(options, indent=1) + "\n", encoding="utf-8")
    for name in FIGURES:
        shutil.copy(folder / "figures" / f"{name}.png", KEPT)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        keep(Path(sys.argv[1]))
    PAGE.write_text(page(), encoding="utf-8")
