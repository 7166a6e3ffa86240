"""Other ways to solve the lasso path of one training set, from the same covariances."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
from sklearn.linear_model import lars_path_gram, lasso_path


def as_rows(C: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    "The smallest X (rank, n_terms) and y with XᵀX / n = C and Xᵀy / n = c: p rows in place of thousands of genes."
    values, vectors = np.linalg.eigh(C)
    keep = values > 1e-12 * values[-1]
    root, n = np.sqrt(values[keep]), keep.sum()
    X = np.sqrt(n) * root[:, None] * vectors[:, keep].T
    return np.asfortranarray(X), np.sqrt(n) * (vectors[:, keep].T @ c) / root


def homotopy(C, c, alphas):
    "The knots of the path by scikit-learn's LARS, and straight lines between them."
    knots, _, coefs = lars_path_gram(c, C, n_samples=1, method="lasso", alpha_min=alphas[-1])
    return np.array([np.interp(alphas, knots[::-1], row[::-1]) for row in coefs]).T


def coordinate_descent(tol: float, gram: bool) -> Callable:
    def solve(C, c, alphas):
        X, y = as_rows(C, c)
        return lasso_path(X, y, alphas=alphas, tol=tol, max_iter=1_000_000, precompute=len(X) * C if gram else False)[1].T

    return solve


def skglm_gram(C, c, alphas):
    from skglm.penalties import L1
    from skglm.solvers import GramCD

    X, y = as_rows(C, c)
    w, coefs = np.zeros(len(c)), []
    for alpha in alphas:
        solver = GramCD(max_iter=100_000, tol=1e-10 * alphas[0], fit_intercept=False, warm_start=True, greedy_cd=False)
        w = solver.solve(X, y, None, L1(alpha), w_init=w.copy())[0]
        coefs.append(w)
    return np.array(coefs)


def celer(C, c, alphas):
    from celer import celer_path

    X, y = as_rows(C, c)
    return celer_path(X, y, pb="lasso", alphas=alphas, tol=1e-10, max_iter=1000, max_epochs=1_000_000)[1].T


ALTERNATIVES = {
    "homotopy (scikit-learn LARS)": homotopy,
    "coordinate descent, Gram, tol 1e-10": coordinate_descent(1e-10, gram=True),
    "coordinate descent, p × p rows, tol 1e-10": coordinate_descent(1e-10, gram=False),
    "coordinate descent, p × p rows, tol 1e-4": coordinate_descent(1e-4, gram=False),
    "skglm GramCD": skglm_gram,
    "celer": celer,
}


def apart(coefs: np.ndarray, exact: np.ndarray) -> float:
    "Largest difference along the path, as a share of the largest coefficient."
    return float(np.abs(coefs - exact).max() / np.abs(exact).max())


def violation(C, c, alphas, coefs) -> float:
    "Largest violation of the optimality conditions along the path, as a share of the largest alpha."
    g = c - coefs @ C
    off = np.where(coefs != 0, np.abs(g - alphas[:, None] * np.sign(coefs)), np.abs(g) - alphas[:, None])
    return float(off.max() / alphas[0])


def quietly(solve: Callable, *args):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return solve(*args)
