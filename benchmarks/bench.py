"""Our bootstrap lasso against scikit-learn and friends on the same weights and folds, all measured now on this machine."""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from alternatives import ALTERNATIVES, apart, quietly, violation
from joblib import Parallel, delayed
from sklearn.linear_model import LassoCV
from threadpoolctl import threadpool_limits

from tfbpmodeling.config import Config
from tfbpmodeling.design_matrix import all_data_terms, make_design
from tfbpmodeling.lasso import (
    BootstrapLassoCV,
    Sample,
    alpha_grid,
    column_shift,
    compile_kernels,
    fold_sums,
    lasso_path,
    make_row,
    rows_by_fold,
    stratified_folds,
    training_sets,
)
from tfbpmodeling.modeling_data import load_modeling_data

YEAST = Path(__file__).resolve().parents[2] / "shared" / "data" / "yeast"
REAL = ("YHR084W", "YMR037C", "YML007W")
SCIKIT_LEARN = {  # how it is called: options of LassoCV
    "scikit-learn, tol 1e-10": dict(tol=1e-10, selection="cyclic", max_iter=1_000_000),  # the answer that ours must equal
    "scikit-learn, as the published program": dict(tol=1e-4, selection="random", max_iter=10_000),
    "scikit-learn, fastest of that accuracy": dict(tol=1e-4, selection="cyclic", max_iter=10_000),
}


# --- problems


def generated(n_genes: int, n_terms: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    "X (n_genes, n_terms) of products of skewed binding, y with five true terms, strata by rank of the factor's binding."
    rng = np.random.default_rng(seed)
    ptf, others = rng.lognormal(0, 1, n_genes), rng.lognormal(0, 1, (n_genes, n_terms))
    X = ptf[:, None] * others
    y = X[:, :5] @ rng.normal(0, 0.05, 5) + rng.normal(0, 1, n_genes)
    rank = np.argsort(np.argsort(-ptf)) + 1
    return X, y, np.digitize(rank, [8, 12], right=True) + 1


def real(perturbed_tf: str = "YHR084W"):
    "The same for a knock-out of the shared yeast tables."
    files = dict(response_file=str(YEAST / "response_tfko.csv.gz"), predictors_file=str(YEAST / "binding.csv.gz"))
    config = Config(perturbed_tf=perturbed_tf, **files)
    data = load_modeling_data(config)
    design = make_design(data, all_data_terms(data, config), config.bins)
    return design.X, design.y, design.strata


def resamples(n_genes: int, n_bootstraps: int, seed: int = 42) -> np.ndarray:
    "How often each bootstrap draws each gene (n_bootstraps, n_genes)."
    rng = np.random.RandomState(seed)
    return np.array([np.bincount(rng.randint(0, n_genes, n_genes), minlength=n_genes) for _ in range(n_bootstraps)], dtype=np.uint16)


# --- solvers


def ours(X, y, strata, weights, n_jobs) -> tuple[np.ndarray, np.ndarray]:  # alphas (n_bootstraps,), coefficients (n_bootstraps, n_terms)
    fit = BootstrapLassoCV(n_jobs=n_jobs).fit(X, y, strata, weights)
    return fit.alpha_, fit.coef_


def one_scikit_learn(X, y, strata, w, b, options, n_jobs=None) -> tuple[float, np.ndarray]:
    folds = stratified_folds(strata, 4, b)
    splits = [(np.flatnonzero(folds != k), np.flatnonzero(folds == k)) for k in range(4)]
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")
        fit = LassoCV(alphas=100, cv=splits, random_state=b, n_jobs=n_jobs, **options).fit(X, y, sample_weight=w)
    return fit.alpha_, fit.coef_


def scikit_learn(X, y, strata, weights, n_jobs, options, processes: bool) -> tuple[np.ndarray, np.ndarray]:
    "Bootstraps in processes side by side, or one after the other with the folds side by side."
    jobs = [(X, y, strata, w.astype(float), b, options) for b, w in enumerate(weights)]
    if processes:
        pairs = Parallel(n_jobs=n_jobs)(delayed(one_scikit_learn)(*job) for job in jobs)
    else:
        pairs = [one_scikit_learn(*job, n_jobs=n_jobs) for job in jobs]
    alphas, coefs = zip(*pairs)
    return np.array(alphas), np.array(coefs)


def floor(X, y, strata, weights) -> None:
    "What cannot be saved when covariances are used: one matrix product per fold."
    with threadpool_limits(1):
        for b, w in enumerate(weights):
            folds, Z = stratified_folds(strata, 4, b), X * np.sqrt(w)[:, None]
            for k in range(4):
                rows = Z[(folds == k) & (w > 0)]
                rows.T @ rows


# --- measuring


def measured(fit: Callable, n_bootstraps: int, repeats: int) -> tuple[float, tuple]:
    "Median wall time of one bootstrap in seconds, and what was fitted."
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = fit()
        times.append((time.perf_counter() - start) / n_bootstraps)
    return statistics.median(times), result


def in_turn(fits: dict[str, tuple[Callable, int]], repeats: int) -> dict[str, tuple[float, tuple]]:
    "The same for several solvers, (fit, bootstraps) of each: round after round, so that a machine that slows down or speeds up does so for all."
    rounds = [{name: measured(fit, n, 1) for name, (fit, n) in fits.items()} for _ in range(repeats)]
    return {name: (statistics.median(r[name][0] for r in rounds), rounds[-1][name][1]) for name in fits}


def compare(name: str, X, y, strata, n_bootstraps: int, repeats: int, tight: bool) -> None:
    "One block of the table."
    at_once = 256 if X.shape[1] < 500 else 16 if X.shape[1] < 1000 else n_bootstraps  # ours is fast, and a run has 1000 of them
    weights = resamples(len(y), at_once)
    few, size = weights[:n_bootstraps], f"{name} {X.shape[0]} × {X.shape[1]}".strip()
    both = (True, False) if repeats > 1 else (True,)  # large problems: processes only
    called = {c: o for c, o in SCIKIT_LEARN.items() if tight or "published" in c}  # the others would take hours
    ways = {c: {f"{c} ({'2 processes' if how else 'n_jobs=2'})": (o, how) for how in both} for c, o in called.items()}
    fits = {f"tfbpmodeling, exact, {n} thread{'s' * (n > 1)}": (partial(ours, X, y, strata, weights, n), at_once) for n in (2, 1)}
    fits["floor: matrix products, 1 thread"] = partial(floor, X, y, strata, few), n_bootstraps
    for given in ways.values():
        fits |= {way: (partial(scikit_learn, X, y, strata, few, 2, *options), n_bootstraps) for way, options in given.items()}
    found = in_turn(fits, repeats)
    two, (alphas, coefs) = next(iter(found.values()))
    for solver in list(fits)[:3]:
        line(size if solver == next(iter(fits)) else "", solver, found[solver][0], two)
    for given in ways.values():
        way = min(given, key=lambda way: found[way][0])
        seconds, (their_alphas, theirs) = found[way]
        same = np.isclose(alphas[:n_bootstraps], their_alphas, rtol=1e-9)
        off = (np.abs(coefs[:n_bootstraps] - theirs).max(axis=1) / np.abs(theirs).max(axis=1).clip(1e-300))[same].max(initial=0)
        line("", way, seconds, two, f"{same.sum()}/{len(same)}", f"{off:.0e}")


def compare_all(title: str, cases: list[tuple]) -> None:
    print(f"\n{title}\n")
    print("| genes × terms | solver | ms per bootstrap | times ours | same alpha | coefficients apart |\n|---|---|---:|---:|---:|---:|")
    for name, make, n_bootstraps, repeats, tight in cases:
        compare(name, *make(), n_bootstraps, repeats, tight)


def line(size: str, solver: str, seconds: float, ours: float, same: str = "", apart: str = "") -> None:
    print(f"| {size} | {solver} | {1000 * seconds:.3g} | {seconds / ours:.3g} | {same} | {apart} |", flush=True)


def one_path(X, y, strata) -> tuple[np.ndarray, np.ndarray]:
    "Covariances of the usable terms on the first training set of the first bootstrap."
    w, shift = resamples(len(y), 1)[0], column_shift(X, y)
    sample = Sample(X, *rows_by_fold(w := w.astype(np.float64), stratified_folds(strata, 4, 0), 4))
    sums = fold_sums(sample, y, w, shift, (X == shift[:-1]).all(axis=1), row_form=False)
    _, train, *_ = training_sets(sums, sample)
    for j in range(X.shape[1]):
        make_row(sums, train, j)
    keep = np.flatnonzero(~train.useless)
    return np.ascontiguousarray(train.C[np.ix_(keep, keep)]), train.c[keep]


def paths(problems: dict[str, tuple]) -> None:
    "The table of alternatives: one path of 100 alphas on one core, from the same covariances."
    print("\n| problem | solver | ms per path | coefficients apart from ours |\n|---|---|---:|---:|")
    for name, problem in problems.items():
        C, c = one_path(*problem)
        alphas = alpha_grid(np.abs(c).max())
        seconds, (exact, _) = measured(partial(lasso_path, C, c, alphas), 1, 9)
        off = violation(C, c, alphas, exact)
        print(f"| {name} | tfbpmodeling (optimality conditions off by {off:.0e}) | {1000 * seconds:.3g} | |", flush=True)
        for solver, solve in ALTERNATIVES.items():
            needs = {"skglm GramCD": "skglm", "celer": "celer"}.get(solver)
            if needs and not find_spec(needs):
                print(f"| | {solver}: not installed (pip install 'tfbpmodeling[bench]') | | |")
                continue
            with threadpool_limits(1):
                quietly(solve, C, c, alphas[:3])  # compile
                seconds, coefs = measured(partial(quietly, solve, C, c, alphas), 1, 1)
            print(f"| | {solver} | {1000 * seconds:.3g} | {apart(coefs, exact):.0e} |", flush=True)


def growth() -> None:
    "Fitted exponents: seconds grow as size to this power."
    print("\n| what grows | from | to | seconds per bootstrap, or per fit | exponent |\n|---|---:|---:|---|---:|")
    cases = {
        "genes (150 terms)": [(n, lambda n=n: (generated(n, 150), 8)) for n in (3000, 6000, 12000, 24000)],
        "terms (6000 genes)": [(p, lambda p=p: (generated(6000, p), 4)) for p in (75, 150, 300, 600)],
        "bootstraps (1500 × 40)": [(b, lambda b=b: (generated(1500, 40), b)) for b in (50, 100, 200, 400)],
    }
    for what, steps in cases.items():
        sizes, seconds = [], []
        for size, make in steps:
            (X, y, strata), b = make()
            weights = resamples(len(y), b)
            t, _ = measured(partial(ours, X, y, strata, weights, 2), 1 if what.startswith("bootstraps") else b, 3)
            sizes.append(size)
            seconds.append(t)
        power = np.polyfit(np.log(sizes), np.log(seconds), 1)[0]
        print(f"| {what} | {sizes[0]} | {sizes[-1]} | {', '.join(f'{t:.3g}' for t in seconds)} | {power:.2f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3, help="fits; their median counts")
    parser.add_argument("--quick", action="store_true", help="one small case only")
    given = parser.parse_args()
    start = time.perf_counter()
    compile_kernels()
    cases = [("", lambda: generated(1500, 40), 4, given.repeats, True)]  # problem, bootstraps, repeats, tol 1e-10 too
    large = []
    if not given.quick:
        if YEAST.is_dir():
            cases += [(tf, lambda tf=tf: real(tf), 2, given.repeats, True) for tf in REAL]
        else:
            print("(no real tables: ../shared is not here)")
        cases += [("", lambda: generated(6000, 150), 4, given.repeats, True), ("", lambda: generated(6000, 300), 2, given.repeats, True)]
        large += [("", lambda: generated(6000, 600), 2, 1, True), ("", lambda: generated(600, 2000), 2, 1, False)]
        large += [("", lambda: generated(20_000, 1000), 2, 1, False)]
    compare_all(f"Wall time of one bootstrap (100 alphas, 4 folds) on two cores; median of {given.repeats} fits.", cases)
    problems = {"1500 × 40": generated(1500, 40)}
    if not given.quick:
        problems |= {"6000 × 150": generated(6000, 150)} | ({"YHR084W 573 × 230": real()} if YEAST.is_dir() else {})
    paths(problems)
    if not given.quick:
        growth()
        compare_all("Large problems: the same, of one fit.", large)
    print(f"\nmeasured in {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
