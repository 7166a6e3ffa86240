"""Our bootstrap lasso against scikit-learn's LassoCV on the same weights and folds, both measured now on this machine."""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LassoCV
from sklearn.model_selection import StratifiedKFold
from threadpoolctl import threadpool_limits

from tfbpmodeling.config import Config
from tfbpmodeling.design_matrix import all_data_terms, make_design
from tfbpmodeling.lasso import BootstrapLassoCV
from tfbpmodeling.modeling_data import load_modeling_data

YEAST = Path(__file__).resolve().parents[2] / "shared" / "data" / "yeast"
AS_TIGHT = dict(tol=1e-10, selection="cyclic", max_iter=1_000_000)  # the answer that ours must equal
AS_REFERENCE = dict(tol=1e-4, selection="random", max_iter=10_000)  # as the published program calls it


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
    return np.array([np.bincount(rng.randint(0, n_genes, n_genes), minlength=n_genes) for _ in range(n_bootstraps)])


def ours(X, y, strata, weights, n_cpus) -> tuple[np.ndarray, np.ndarray]:  # alphas (n_bootstraps,), coefficients (n_bootstraps, n_terms)
    fit = BootstrapLassoCV(n_jobs=n_cpus).fit(X, y, strata=strata, bootstrap_weights=weights)
    return fit.alpha_, fit.coef_


def one_scikit_learn(X, y, strata, w, b, options) -> tuple[float, np.ndarray]:
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        folds = list(StratifiedKFold(4, shuffle=True, random_state=b).split(X, strata))
        fit = LassoCV(cv=folds, random_state=b, **options).fit(X, y, sample_weight=w)
    return fit.alpha_, fit.coef_


def scikit_learn(X, y, strata, weights, n_cpus, options) -> tuple[np.ndarray, np.ndarray]:
    jobs = (delayed(one_scikit_learn)(X, y, strata, w.astype(float), b, options) for b, w in enumerate(weights))
    alphas, coefs = zip(*Parallel(n_jobs=n_cpus, prefer="threads")(jobs))
    return np.array(alphas), np.array(coefs)


def measured(fit: Callable, n_bootstraps: int, repeats: int) -> tuple[float, tuple]:
    "Median wall time of one bootstrap in seconds, and what was fitted."
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = fit()
        times.append((time.perf_counter() - start) / n_bootstraps)
    return statistics.median(times), result


def compare(name: str, X, y, strata, n_bootstraps: int, repeats: int, n_cpus: int) -> None:
    "One block of the table: three solvers on the same bootstraps."
    weights = resamples(len(y), n_bootstraps)
    ours(X, y, strata, weights[:1], n_cpus)  # compile first
    mine, (alphas, coefs) = measured(lambda: ours(X, y, strata, weights, n_cpus), n_bootstraps, max(repeats, 5))
    print(f"{name:22} {'tfbpmodeling':32} {1000 * mine:10.2f}", flush=True)
    for label, options in (("scikit-learn, tol 1e-10, cyclic", AS_TIGHT), ("scikit-learn, as the reference", AS_REFERENCE)):
        theirs, (other_alphas, other) = measured(lambda o=options: scikit_learn(X, y, strata, weights, n_cpus, o), n_bootstraps, repeats)
        same = np.isclose(alphas, other_alphas, rtol=1e-9)
        apart = (abs(coefs - other).max(axis=1) / abs(other).max(axis=1).clip(1e-300))[same]
        print(
            f"{'':22} {label:32} {1000 * theirs:10.2f} {theirs / mine:9.1f} {same.sum():6}/{len(same)} {apart.max(initial=0):13.1e}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n_bootstraps", type=int, default=4, help="bootstraps per fit")
    parser.add_argument("--repeats", type=int, default=3, help="fits; their median counts")
    parser.add_argument("--n_cpus", type=int, default=1, help="threads, the same for both: bootstraps run side by side")
    parser.add_argument("--quick", action="store_true", help="the smallest case only")
    given = parser.parse_args()
    print(f"{given.n_bootstraps} bootstraps, median of {given.repeats} fits, {given.n_cpus} thread(s)\n")
    print(f"{'genes x terms':22} {'solver':32} {'ms/fit':>10} {'ratio':>9} {'alphas =':>8} {'coefs apart':>13}")
    cases = [("1500 x 40", lambda: generated(1500, 40))]
    if not given.quick:
        cases.append(("6000 x 150", lambda: generated(6000, 150)))
        if YEAST.is_dir():
            cases.append(("real", real))
        else:
            print("(no real case: ../shared is not here)")
    for name, make in cases:
        X, y, strata = make()
        label = name if "x" in name else f"{name} {X.shape[0]} x {X.shape[1]}"
        compare(label, X, y, strata, given.n_bootstraps, given.repeats, given.n_cpus)


if __name__ == "__main__":
    main()
