"""Small generated tables with known truth, for tests that need a run from files."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

# Sockets of a kernel that an earlier test has killed: they are collected whenever Python likes, also in the middle of a later test.
no_warnings = pytest.mark.filterwarnings("error", r"ignore:Unclosed \w+ <zmq:ResourceWarning")


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


def example_batch(
    n: int = 12,  # perturbed factors
    seed: int = 0,
    density: float = 0.06,  # share of the pairs that survive; 0: nothing found
    prefix: str = "",  # of every name
    status: str = "done",
) -> tuple[dict, pd.DataFrame, pd.DataFrame]:
    "What a batch of n factors leaves: batch.json, summary.csv and interactors.csv. One factor is not applicable, one failed."
    rng = np.random.RandomState(seed)
    ids = [f"{prefix}Y{chr(65 + i % 16)}{'LR'[i % 2]}{i:03d}{'WC'[i % 2]}" for i in range(n)]
    names = {
        tf: f"{prefix}{''.join(chr(65 + (7 * i + k * k * 11 + i // 26) % 26) for k in range(3))}{i % 9 + 1}" for i, tf in enumerate(ids)
    }
    hub = rng.gamma(0.6, 1, n)
    alive = rng.rand(n, n) < density * np.outer(rng.gamma(1, 1, n), hub / hub.mean())
    alive |= alive.T & (rng.rand(n, n) < 0.25)
    factors, rows, found = {}, [], []
    for i, tf in enumerate(ids):
        state = {n - 1: "not_applicable", n - 2: "failed"}.get(i, "done") if n > 2 else "done"
        reason = {
            "not_applicable": f"the binding of {tf} is constant on the common genes",
            "failed": "ZeroDivisionError: division by zero",
        }.get(state)
        if status != "done" and i >= n // 2:
            state, reason = ("running" if i == n // 2 and status == "running" else "waiting"), None
        others = [j for j in np.flatnonzero(alive[i]) if j != i] if state == "done" else []
        for j in others:
            sign, t, size = (1 if hub[j] > 0.5 else -1) * (1 if rng.rand() < 0.9 else -1), 1 + rng.gamma(1.5, 0.7), rng.lognormal(-4, 1)
            ends = sorted((sign * (t - 1) * size, sign * (t + 1) * size))
            beyond = bool(rng.rand() < 0.5)
            beside = np.sort(sign * size * (t + np.array([-0.8, 0.8]) - (0 if beyond else t)))
            found.append((tf, names[tf], ids[j], names[ids[j]], f"{tf}:{ids[j]}", ends[0], sign * t * size, ends[1], ends[0] * 0.9, sign * t * size,
                          ends[1] * 1.1, rng.normal(-0.01, 0.02), bool(rng.rand() < 0.7), beyond, *beside))  # fmt: skip
        if state == "done" and not others:
            state = "nothing_found"
        ran, seconds = state in ("done", "nothing_found"), float(rng.uniform(5, 20))
        report = f"{tf}/report.html" if ran else f"{tf}.failed/report.html" if state == "failed" else None
        folder = report.removesuffix("/report.html") if report else None
        factors[tf] = {"name": names[tf], "state": state, "reason": reason, "seconds": seconds if report else None, "started": None, "ended": None,
                       "directory": folder, "report": report, "attempts": int(report is not None)}  # fmt: skip
        beyond = sum(f[13] for f in found if f[0] == tf)
        numbers = (
            6000,
            rng.randint(300, 5000),
            n - 1,
            len(others) + 3,
            len(others) + 1,
            len(others),
            max(0, len(others) - 1),
            beyond,
            rng.uniform(0, 0.3),
        )
        rows.append(
            (
                tf,
                names[tf],
                state,
                reason,
                *(numbers if ran else [None] * 9),
                seconds if report else None,
                9000.0 if ran else None,
                folder,
                report,
            )
        )
    summary = pd.DataFrame(rows, columns="perturbed_tf name status reason n_genes n_bound n_terms n_kept_all_data n_kept_topn n_survivors n_selected "
                           "n_beyond_main_effects best_r2 seconds fits_per_second directory report".split())  # fmt: skip
    interactors = pd.DataFrame(found, columns="perturbed_tf perturbed_tf_name interactor interactor_name term all_data_low all_data_median all_data_high "
                               "topn_low topn_median topn_high delta_r2 selected beyond_main_effects low_beside high_beside".split())  # fmt: skip
    inputs = [
        {"option": o, "path": f"tables/{o.removesuffix('_file')}.csv", "sha256": c * 64}
        for o, c in (("response_file", "a"), ("predictors_file", "b"))
    ]
    batch = {"version": "0.1.0", "command": "batch", "status": status, "started": "2026-11-20T22:00:00+00:00",
             "ended": "2026-11-20T22:41:07+00:00" if status == "done" else None,
             "parameters": {"response_file": inputs[0]["path"], "predictors_file": inputs[1]["path"], "perturbed_tfs": "all", "n_bootstraps": 1000, "random_state": 42,
                            "all_data_ci_level": 98.0, "topn_ci_level": 90.0, "top_n": 600, "output_dir": "results", "n_jobs": 2},
             "inputs": inputs, "seed": 42, "n_jobs": 2, "fits_per_second": 9123.4, "factors": factors}  # fmt: skip
    return batch, summary, interactors


def write_reports(folder: Path, batch: dict) -> None:
    "A small page wherever a batch names a report, and the two tables."
    for factor in batch["factors"].values():
        if factor["report"]:
            (folder / factor["report"]).parent.mkdir(parents=True, exist_ok=True)
            (folder / factor["report"]).write_text("<p>a report</p>")
    for name in ("summary.csv", "interactors.csv"):
        (folder / name).write_text("")
