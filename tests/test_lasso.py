"""The lasso core against scikit-learn run to convergence, over weights, shapes and awkward columns."""

import ctypes
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LassoCV, lasso_path
from sklearn.model_selection import StratifiedKFold

import tfbpmodeling
from tfbpmodeling.lasso import (
    BootstrapLassoCV,
    Sample,
    SumsStore,
    column_shift,
    fit_sums,
    fold_sums,
    lasso_cv,
    rows_by_fold,
    stratified_folds,
    training_sets,
)


def distinct(X):
    "Columns that vary, the first of equal ones only."
    keep = [j for j in range(X.shape[1]) if (X[:, j] != X[0, j]).any()]
    return [j for i, j in enumerate(keep) if not any((X[:, j] == X[:, k]).all() for k in keep[:i])]


def converged_path(X, y, w, alphas):
    "Weighted lasso path by scikit-learn at tol 1e-10, cyclic: coefs (n_alphas, n_terms), intercepts. Equal columns: the first stands for all."
    X, y, w = X[w > 0], y[w > 0], w[w > 0].astype(float)
    keep = distinct(X)
    x_mean, y_mean = np.average(X, axis=0, weights=w), np.average(y, weights=w)
    root = np.sqrt(w / w.sum() * len(y))
    coefs = np.zeros((len(alphas), X.shape[1]))
    if keep:
        Z = np.asfortranarray((X - x_mean)[:, keep] * root[:, None])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            coefs[:, keep] = lasso_path(Z, (y - y_mean) * root, alphas=alphas, tol=1e-10, max_iter=100_000)[1].T
    return coefs, y_mean - coefs @ x_mean


def oracle(X, y, w, folds):
    "Alphas, mean error per alpha, and a function giving the coefficients at the k-th alpha."
    centred = X - np.average(X, axis=0, weights=w)
    alpha_max = np.abs((w * (y - np.average(y, weights=w))) @ centred).max() / w.sum()
    alphas = np.geomspace(alpha_max, alpha_max * 1e-3, 100)
    errors = []
    for k in range(4):
        train, test = folds != k, folds == k
        coefs, intercepts = converged_path(X[train], y[train], w[train], alphas)
        residuals = y[test] - intercepts[:, None] - coefs @ X[test].T
        errors.append(np.average(residuals**2, axis=1, weights=w[test]))
    mean = np.mean(errors, axis=0)
    return alphas, mean, lambda k: converged_path(X, y, w, alphas[: k + 1])[0][-1]


def kkt(X, y, w, fit):
    "Largest violation of the optimality conditions of the final fit, as a share of the largest alpha."
    residual = y - fit.intercept - X @ fit.coef
    g = (w * residual) @ X / w.sum()
    off = np.where(fit.coef != 0, np.abs(g - fit.alpha * np.sign(fit.coef)), np.abs(g) - fit.alpha)
    return max(off.max(), abs(w @ residual) / w.sum()) / fit.alphas[0]


def agrees(X, y, w, folds):
    "Compare one fit; returns it."
    fit = lasso_cv(X, y, w, folds)
    alphas, mean, coef_at = oracle(X, y, w, folds)
    np.testing.assert_allclose(fit.alphas, alphas, rtol=1e-9)
    np.testing.assert_allclose(fit.mse_path.mean(axis=1), mean, rtol=1e-5)
    k, best = int(np.argmin(np.abs(fit.alphas - fit.alpha))), int(np.argmin(mean))
    if k != best:
        assert fit.near_tie and mean[k] <= mean[best] * (1 + 2e-6)
    expected = coef_at(k)
    active = np.flatnonzero(fit.coef)
    eigenvalues = np.linalg.eigvalsh(np.cov(np.repeat(X[:, active], w, axis=0).T, ddof=0)) if len(active) > 1 else np.ones(1)
    if eigenvalues[0] > 1e-10 * eigenvalues[-1]:
        assert np.abs(fit.coef - expected).max() <= 1e-6 * max(np.abs(expected).max(), 1e-300)
    assert fit.converged and kkt(X, y, w, fit) < 1e-9
    return fit


def example(seed, n=300, p=20, sparse=True):
    rng = np.random.RandomState(seed)
    X = rng.lognormal(0, 1, (n, p)) * ((rng.rand(n, p) < 0.3) if sparse else 1)
    y = X[:, : min(4, p)] @ rng.normal(size=min(4, p)) + rng.standard_t(4, n)
    strata = np.digitize(pd.Series(X[:, 0]).rank(method="min", ascending=False), [9, 13]) + 1
    w = np.bincount(rng.randint(0, n, n), minlength=n)
    return X, y, strata, w, stratified_folds(strata, 4, seed)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("sparse", [True, False])
def test_agrees_with_converged_scikit_learn(seed, sparse):
    X, y, _, w, folds = example(seed, sparse=sparse)
    agrees(X, y, w, folds)


@pytest.mark.parametrize("seed", range(3))
def test_oracle_is_what_lassocv_itself_gives(seed):
    "The helper above reproduces LassoCV, so agreeing with it is agreeing with scikit-learn."
    X, y, strata, w, folds = example(seed, p=8)
    splits = list(StratifiedKFold(4, shuffle=True, random_state=seed).split(X, strata))
    theirs = LassoCV(alphas=100, cv=splits, tol=1e-10, max_iter=100_000).fit(X, y, sample_weight=w)
    alphas, mean, coef_at = oracle(X, y, w, folds)
    np.testing.assert_allclose(theirs.alphas_, alphas, rtol=1e-12)
    np.testing.assert_allclose(theirs.mse_path_.mean(axis=1), mean, rtol=1e-7)
    np.testing.assert_allclose(theirs.coef_, coef_at(int(np.argmin(mean))), atol=1e-8)


@pytest.mark.parametrize("n, p", [(60, 55), (60, 60), (40, 80), (30, 150)])
@pytest.mark.parametrize("seed", range(2))
def test_terms_near_and_above_the_number_of_genes(n, p, seed):
    X, y, _, w, folds = example(seed, n, p, sparse=False)
    agrees(X, y, w, folds)


@pytest.mark.parametrize("seed", range(4))
def test_constant_duplicate_and_collinear_columns(seed):
    X, y, _, w, folds = example(seed, p=10)
    X = np.column_stack(
        [X, np.ones(len(y)), X[:, 0], X[:, 1] + X[:, 2], 2 * X[:, 3], np.where(folds == 1, X[:, 4], X[:, 5]), np.zeros(len(y))]
    )
    fit = agrees(X, y, w, folds)
    assert fit.coef[10] == 0 and fit.coef[11] == 0 and fit.coef[15] == 0


def test_the_first_of_equal_columns_stands_for_all():
    X, y, _, w, folds = example(0, p=3)
    doubled = lasso_cv(np.column_stack([X[:, :1], X]), y, w, folds)
    plain = lasso_cv(X, y, w, folds)
    assert doubled.coef[1] == 0
    np.testing.assert_allclose(np.delete(doubled.coef, 1), plain.coef, rtol=1e-10)


def test_large_offset_and_scales_do_not_cost_digits():
    X, y, _, w, folds = example(1, p=6)
    plain = lasso_cv(X, y, w, folds)
    moved = lasso_cv(X * [1, 1, 1, 1, 1, 1] + [1e5, 0, -1e4, 0, 0, 1e3], y + 1e4, w, folds)
    np.testing.assert_allclose(moved.coef, plain.coef, atol=1e-6 * np.abs(plain.coef).max())


def test_row_order_and_term_order_do_not_matter():
    X, y, _, w, folds = example(2)
    plain = lasso_cv(X, y, w, folds)
    rows, terms = np.random.RandomState(0).permutation(len(y)), np.random.RandomState(1).permutation(X.shape[1])
    mixed = lasso_cv(X[rows][:, terms], y[rows], w[rows], folds[rows])
    np.testing.assert_allclose(mixed.coef, plain.coef[terms], atol=1e-9 * np.abs(plain.coef).max())


def test_nothing_correlates_and_constant_response():
    X, _, _, w, folds = example(3)
    fit = lasso_cv(X, np.full(len(X), 2.5), w, folds)
    assert not fit.coef.any() and fit.intercept == 2.5 and fit.converged


def test_weights_may_be_any_positive_numbers():
    X, y, _, _, folds = example(4)
    w = np.random.RandomState(0).gamma(1, 1, len(y))
    fit = lasso_cv(X, y, w, folds)
    assert kkt(X, y, w, fit) < 1e-10
    np.testing.assert_allclose(lasso_cv(X, y, w * 7.3, folds).coef, fit.coef, atol=1e-11)


def test_a_fold_without_weight_is_left_out_of_the_mean():
    X, y, _, w, folds = example(5)
    w = np.where(folds == 2, 0, w)
    fit = lasso_cv(X, y, w, folds)
    assert np.isnan(fit.mse_path[:, 2]).all() and not np.isnan(np.delete(fit.mse_path, 2, axis=1)).any() and kkt(X, y, w, fit) < 1e-10


def test_max_iter_bounds_the_solver_and_is_reported():
    X, y, strata, w, _ = example(6)
    assert not BootstrapLassoCV(max_iter=1).fit(X, y, strata, w).converged_[0]
    assert BootstrapLassoCV(max_iter=1000).fit(X, y, strata, w).converged_[0]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("shape", ["three", "one", "unsorted"])
def test_folds_are_scikit_learns(seed, shape):
    rng = np.random.RandomState(seed)
    strata = {"three": rng.choice([3, 1, 2], 101, p=[0.8, 0.15, 0.05]), "one": np.ones(50, int), "unsorted": rng.randint(5, 9, 64)}[shape]
    folds = stratified_folds(strata, 4, seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for k, (_, test) in enumerate(StratifiedKFold(4, shuffle=True, random_state=seed).split(strata, strata)):
            assert (np.flatnonzero(folds == k) == test).all()


@pytest.mark.parametrize("jobs", [2, 3])
def test_threads_change_no_number(jobs):
    X, y, strata, _, _ = example(7, n=200)
    rng = np.random.RandomState(0)
    W = np.array([np.bincount(rng.randint(0, 200, 200), minlength=200) for _ in range(37)], dtype=np.uint16)
    done = []
    one, many = BootstrapLassoCV().fit(X, y, strata, W), BootstrapLassoCV(n_jobs=jobs, progress=done.append).fit(X, y, strata, W)
    for name in ("coef_", "intercept_", "alpha_", "alphas_", "cv_mse_", "r2_"):
        np.testing.assert_array_equal(getattr(one, name), getattr(many, name))
    assert sum(done) == 37 and one.coef_.shape == (37, 20) and one.alphas_.shape == (37, 100)


def test_estimator_refuses_what_does_not_fit():
    X, y, strata, w, _ = example(8)
    for wrong, message in [
        (dict(X=X[:-1]), "n_genes"),
        (dict(X=np.where(X > 1, np.nan, X)), "finite"),
        (dict(bootstrap_weights=-np.ones(len(y))), "0 or more"),
        (dict(strata=np.arange(len(y))), "no stratum"),
        (dict(bootstrap_weights=np.ones(3)), "n_bootstraps, n_genes"),
    ]:
        with pytest.raises(ValueError, match=message):
            BootstrapLassoCV().fit(**{**dict(X=X, y=y, strata=strata, bootstrap_weights=w), **wrong})


@pytest.mark.parametrize(
    "tf, seeds", [("YHR084W", [1]), ("YOR028C", [0]), pytest.param("YOR028C", [5], marks=pytest.mark.slow), ("YML007W", [2])]
)
def test_real_tables(shared, tf, seeds):
    "Sparse binding with equal columns: YHR084W with seed 42, bootstrap 1, has four mating-type columns that are equal on three training sets."
    binding = pd.read_csv(shared / "data/yeast/binding.csv.gz", index_col=0)
    response = pd.read_csv(shared / "data/yeast/response_tfko.csv.gz", index_col=0)[tf]
    genes = sorted(set(binding.index) & set(response.index) - {tf})
    B, y = binding.loc[genes], response.loc[genes].to_numpy()
    X = B.drop(columns=tf).to_numpy() * B[[tf]].to_numpy()
    strata = np.digitize(B[tf].rank(method="min", ascending=False), [9, 13]) + 1
    rng = np.random.RandomState(42)
    weights = [np.bincount(rng.randint(0, len(y), len(y)), minlength=len(y)) for _ in range(max(seeds) + 1)]
    for b in seeds:
        agrees(X, y, weights[b], stratified_folds(strata, 4, b))


@pytest.mark.parametrize("density", [0.02, 0.5, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_useless_columns_are_found_by_their_rows(seed, density):
    "Few genes with few values: many columns are constant or equal on the rows of one training set and not on those of another."
    rng = np.random.RandomState(seed)
    X = rng.randint(1, 3, (60, 50)) * (rng.rand(60, 50) < density) + rng.choice([0.0, 0.1, 1e4], 50)
    X[:, 30:35], X[:, 40] = X[:, rng.randint(0, 30, 5)], 1 / 3
    X[7, 31] += 1e-6  # not equal
    y, w = rng.normal(size=60), rng.poisson(0.5, 60).astype(float)
    X[:, 43], X[:, 44] = 0.3 * (w > 0), (w > 0) * (0.3 + 1e-6 * rng.normal(size=60))  # constant and nearly so, away from the median
    folds, shift = stratified_folds(np.ones(60), 4, seed), column_shift(X, y)
    sample = Sample(X, *rows_by_fold(w, folds, 4))
    sets = list(training_sets(fold_sums(sample, y, w, shift, (X == shift[:-1]).all(axis=1)), sample))
    assert [train.skipped for train in sets] == [4, 0, 1, 2, 3]
    for train in sets:
        assert list(np.flatnonzero(~train.useless)) == distinct(X[(w > 0) & (folds != train.skipped)])


def resamples(n, n_bootstraps, seed=0):
    rng = np.random.RandomState(seed)
    return np.array([np.bincount(rng.randint(0, n, n), minlength=n) for _ in range(n_bootstraps)], dtype=np.uint16)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("n, p, sparse", [(300, 20, True), (300, 20, False), (80, 60, True), (40, 200, False)])
def test_row_form_and_background_rows_change_no_number(n, p, sparse, seed):
    X, y, _, w, folds = example(seed, n, p, sparse)
    X[np.random.RandomState(seed).rand(n) < 0.5 * sparse] = 0.0
    X = np.column_stack([X, X[:, 0], np.ones(n)])  # a copy and a constant
    shift, sample = column_shift(X, y), Sample(X, *rows_by_fold(w, folds, 4))
    bare = (X == shift[:-1]).all(axis=1)
    assert bare.any() == sparse
    fits = []
    for mask in (bare, np.zeros(n, dtype=bool)):
        for row_form in (False, True):
            sums = fold_sums(sample, y, w, shift, mask, row_form=row_form)
            for j in np.flatnonzero(~sums.known):  # what is not made yet may hold anything
                squares = sums.M[:, j, j].copy()
                sums.M[:, j] = np.nan
                sums.M[:, j, j] = squares
            fits.append(fit_sums(sums, sample, shift, 100, 1e-3, 10_000))
    for other in fits[1:]:
        np.testing.assert_allclose(other.mse_path, fits[0].mse_path, rtol=1e-9)
        assert np.abs(other.coef - fits[0].coef).max() <= 1e-9 * np.abs(fits[0].coef).max() and other.alpha == pytest.approx(fits[0].alpha)


def test_row_form_is_taken_and_said_where_terms_are_many(caplog):
    X, y, strata, _, _ = example(9, 60, 250, sparse=False)
    with caplog.at_level("INFO", "tfbpmodeling"):
        fit = BootstrapLassoCV().fit(X, y, strata, resamples(60, 3))
    assert fit.row_form_.all() and "250 terms for 60 genes that are not background: 3 of 3 fits in row form" in caplog.text
    assert not BootstrapLassoCV().fit(X[:, :50], y, strata, resamples(60, 3)).row_form_.any()


@pytest.mark.parametrize("p", [30, 130])  # 130 terms: some bootstraps in row form, which are not kept
def test_a_store_changes_no_number(p):
    X, y, strata, _, _ = example(10, 64, p, sparse=False)
    W, store, columns = resamples(64, 40), SumsStore(), np.arange(p)
    first = BootstrapLassoCV(n_jobs=2).fit(X, y, strata, W, store)
    assert len(store.kept) == 40 - first.row_form_.sum() and (p == 30) == (len(store.kept) == 40) and store.kept
    for at in ([*range(0, p, 2)], [0, 3, 4, 9]):
        store.narrow(at)
        columns = columns[at]
        kept, fresh = (BootstrapLassoCV().fit(X[:, columns], y, strata, W, s) for s in (store, None))
        np.testing.assert_allclose(kept.coef_, fresh.coef_, atol=1e-10 * np.abs(fresh.coef_).max())
        np.testing.assert_allclose(kept.alpha_, fresh.alpha_, rtol=1e-9)


def test_a_store_without_room_keeps_nothing():
    X, y, strata, _, _ = example(11)
    store = SumsStore(most=1000)
    BootstrapLassoCV().fit(X, y, strata, resamples(len(y), 3), store)
    store.narrow([0, 1])
    assert not store.kept and store.take(0) is None


def test_folds_without_a_gene_are_counted():
    X, y, strata, w, folds = example(12, 120)
    W = np.vstack([np.where(stratified_folds(strata, 4, 0) == 2, 0, w), w])
    assert list(BootstrapLassoCV().fit(X, y, strata, W).empty_folds_) == [1, 0]


@pytest.mark.parametrize("n, p", [(25_000, 120), (400, 2000)])
def test_genome_scale_and_many_terms(n, p):
    X, y, _, w, folds = example(13, n, p, sparse=n > p)
    fit = lasso_cv(X, y, w, folds)
    assert fit.converged and kkt(X, y, w, fit) < 1e-10 and 0 < (fit.coef != 0).sum() < min(n, p)


AS_NOBODY = """
import logging, sys
logging.basicConfig(level="INFO", format="%(message)s", stream=sys.stdout)
import numpy as np
from tfbpmodeling.lasso import BootstrapLassoCV
X = np.random.RandomState(0).normal(size=(60, 3))
print(BootstrapLassoCV(n_jobs=2).fit(X, X[:, 0]).coef_.shape)
"""


def without_rights() -> dict:
    "How to start a process that cannot write what it does not own: as nobody, or, where nobody cannot read this Python, as root bound by permissions."
    if os.name != "posix" or os.geteuid() != 0:
        pytest.skip("needs root, to give rights away")
    nobody = dict(user=65534, group=65534, extra_groups=[])
    try:
        subprocess.run([sys.executable, "-c", "import numba"], cwd="/", check=True, capture_output=True, **nobody)
        return nobody
    except (PermissionError, subprocess.CalledProcessError):
        pass

    def bound() -> None:
        for capability in (1, 2):  # to write and to read without regard to permissions
            if ctypes.CDLL(None).prctl(24, capability, 0, 0, 0):
                raise OSError("prctl")

    if not sys.platform.startswith("linux"):
        pytest.skip("this Python cannot be read by a user without rights")
    return dict(preexec_fn=bound)


def test_a_user_without_rights_fits_without_a_cache(tmp_path):
    "A read-only installation and no home to write to: compiled anew, and said so. A home that can be written: compiled once."
    start = without_rights()
    site, locked, home = tmp_path / "site", tmp_path / "locked", tmp_path / "home"
    shutil.copytree(Path(tfbpmodeling.__file__).parent, site / "tfbpmodeling", ignore=shutil.ignore_patterns("__pycache__"))
    locked.mkdir()
    home.mkdir()
    os.chown(home, start.get("user", 0), -1)
    for folder in (locked, site, *(p for p in site.rglob("*") if p.is_dir())):
        folder.chmod(0o555)
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(folder.stat().st_mode | 0o055)

    def said(home: Path) -> str:
        env = {k: v for k, v in os.environ.items() if not k.startswith(("XDG", "NUMBA"))} | {"HOME": str(home), "PYTHONPATH": str(site)}
        done = subprocess.run([sys.executable, "-c", AS_NOBODY], env=env, cwd="/", capture_output=True, text=True, **start)
        assert done.returncode == 0, done.stderr
        return done.stdout

    first = said(locked)
    assert "no folder to keep compiled code in" in first and "compiled in" in first and "(1, 3)" in first
    assert "once per installation" in said(home)
    assert "compil" not in said(home)
    for folder in (locked, site, *(p for p in site.rglob("*") if p.is_dir())):
        folder.chmod(0o755)


@pytest.mark.slow
def test_5000_bootstraps_fit_into_a_gigabyte():
    code = """
import resource, sys
import numpy as np
from tfbpmodeling.bootstrap_model_results import bootstrap
from tfbpmodeling.design_matrix import Design
rng = np.random.default_rng(0)
X = rng.lognormal(size=(6000, 150))
y = X[:, 0] + rng.normal(size=6000)
design = Design(tuple(f"P:T{i}" for i in range(150)), X, y, np.ones(6000, dtype=int), None)
bootstrap(design, 5000, 1, 98.0, n_cpus=2)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
    kilobytes = int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    assert kilobytes * (1 if sys.platform == "linux" else 1 / 1024) < 1e6
