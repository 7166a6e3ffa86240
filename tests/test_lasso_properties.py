"""What must hold for the lasso on any data: found by search over awkward shapes, ties, copies and rank-deficient columns."""

import numpy as np
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tfbpmodeling.lasso import alpha_grid, lasso_cv, lasso_path, stratified_folds

QUICK = settings(max_examples=1000, deadline=None, derandomize=True)


@st.composite
def problems(draw):
    "Small problems with whole-number values, so that ties, equal columns and exact dependence are common."
    n, p = draw(st.integers(12, 60)), draw(st.integers(1, 40))
    rng = np.random.RandomState(draw(st.integers(0, 10_000)))
    top = draw(st.sampled_from([1, 3, 50]))
    X = rng.randint(0, top + 1, (n, p)) * (rng.rand(n, p) < draw(st.sampled_from([0.1, 0.5, 1.0])))
    X = X.astype(float) * draw(st.sampled_from([1.0, 1e-6, 1e6]))
    if draw(st.booleans()) and p > 2:
        X[:, 1], X[:, 2] = X[:, 0] * 2, X[:, 0] + X[:, -1]
    y = X[:, 0] / max(np.abs(X).max(), 1e-300) + rng.randint(-3, 4, n) * draw(st.sampled_from([0.0, 0.1, 1.0]))
    w = np.bincount(rng.randint(0, n, n), minlength=n).astype(np.uint16)
    return X, y, w, stratified_folds(np.ones(n, dtype=int), 4, 0)


def violation(C, c, b, alpha):
    "How far b is from the optimality conditions."
    g = c - C @ b
    return max(np.where(b != 0, np.abs(g - alpha * np.sign(b)), np.abs(g) - alpha).max(), 0)


@QUICK
@given(problems())
def test_the_conditions_hold_and_the_choice_is_the_best_of_the_grid(problem):
    X, y, w, folds = problem
    fit = lasso_cv(X, y, w, folds)
    assert fit.converged
    residual = (y - fit.intercept - X @ fit.coef) * w
    g = residual @ X / w.sum()
    scale = max(fit.alphas[0], 1e-4 * np.abs(X).max() * np.abs(y).max())  # below that a covariance is rounding alone
    off = np.where(fit.coef != 0, np.abs(g - fit.alpha * np.sign(fit.coef)), np.abs(g) - fit.alpha)
    assert off.max() <= 1e-8 * scale and abs(residual.sum()) <= 1e-8 * max(np.abs(w * y).sum(), 1e-12)
    mean = np.nanmean(fit.mse_path, axis=1)
    chosen = int(np.argmin(np.abs(fit.alphas - fit.alpha)))
    assert mean[chosen] <= mean.min() * (1 + 1e-6) and not (mean[:chosen] <= mean.min() * (1 + 1e-6)).any()


@QUICK
@given(problems())
def test_every_point_of_the_path_is_solved_and_the_fit_only_improves(problem):
    X, y, w, _ = problem
    C = np.cov(np.column_stack([X, y]).T, fweights=w, ddof=0)
    keep = np.flatnonzero(np.diag(C)[:-1] > 1e-12 * max(np.diag(C)[:-1].max(), 1e-300))
    if not len(keep):
        return
    inner, c = C[np.ix_(keep, keep)], C[keep, -1]
    alphas = alpha_grid(np.abs(c).max(), 40, 1e-3)
    path, solved = lasso_path(inner, c, alphas, 10_000)
    assert solved.all()
    assert max(violation(inner, c, b, a) for a, b in zip(alphas, path)) <= 1e-8 * max(alphas[0], 1e-15)
    rss = np.array([b @ inner @ b - 2 * c @ b for b in path])
    assert (np.diff(rss) <= 1e-8 * max(C[-1, -1], 1e-300)).all()


def unique(X, w, folds):
    "True where every training set determines the coefficients."
    sets = [w > 0, *((w > 0) & (folds != k) for k in range(4))]
    ranks = [np.linalg.matrix_rank(X[rows] - X[rows].mean(axis=0)) if rows.any() else 0 for rows in sets]
    return min(ranks) == X.shape[1]


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.filter_too_much])
@given(problems(), st.integers(0, 1000))
def test_order_and_scale_of_weights_do_not_matter(problem, seed):
    X, y, w, folds = problem
    assume(unique(X, w, folds))  # else several solutions are equally good, and rounding may pick another
    rows = np.random.RandomState(seed).permutation(len(y))
    a, b = lasso_cv(X, y, w, folds), lasso_cv(X[rows], y[rows], w[rows] * 3.7, folds[rows])
    assert np.allclose(a.alphas, b.alphas, rtol=1e-9, atol=0) and np.allclose(a.mse_path, b.mse_path, rtol=1e-6, atol=1e-9, equal_nan=True)
    if not (a.near_tie or b.near_tie):
        assert np.isclose(a.alpha, b.alpha, rtol=1e-9)
        assert np.allclose(a.coef, b.coef, atol=1e-6 * max(np.abs(a.coef).max(), 1e-300))
