"""Motif activity: the likelihood against dense formulas, the fits against known truth, spec section 5 row by row."""

import time
from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy.linalg import null_space
from scipy.stats import multivariate_normal
from sklearn.linear_model import Ridge

from tfbpmodeling.activity.activity_simulation import ActivityConfig, simulate_activity
from tfbpmodeling.activity.activity_study import MIXED, activity_study
from tfbpmodeling.activity.motif_activity import (
    ACTIVITY_KINDS,
    NOISE_KINDS,
    candidates,
    canonical,
    fit_covariances,
    fit_motif_activity,
    fitted_r2,
    gradients,
    held_out_r2,
    log_likelihood,
    posterior,
    proportionality_test,
    ridge_covariances,
    ridge_penalty,
    rotate,
)
from tfbpmodeling.config import InputError

SMALL = dict(n_genes=300, n_tfs=100, signal_fraction=0.4)
FULL = dict(n_genes=978, n_tfs=623)


def spd(c: int, seed: int) -> np.ndarray:
    A = np.random.default_rng(seed).standard_normal((c, c + 2))
    return A @ A.T / c


def tables(G=60, T=30, C=4, seed=0, **options):
    return simulate_activity(ActivityConfig(n_genes=G, n_tfs=T, n_conditions=C, random_state=seed, signal_fraction=0.4, **options))


def correlation(found: np.ndarray, truth: np.ndarray) -> float:
    return float(np.corrcoef(found.ravel(), truth.ravel())[0, 1])


def pair_gains(**options) -> tuple[np.ndarray, list]:
    "Correlation of the freeform mixed model less that of ridge, replicate by replicate; row 9 of the spec holds in every fit."
    data, gain, fits = simulate_activity(ActivityConfig(**options)), [], []
    for r in range(data.replicates):
        rotated, B = rotate(data.Y_of(r), data.params["motif"]), data.beta_of(r)
        fit = fit_covariances(rotated)
        assert fit.converged and fit.log_likelihood >= log_likelihood(rotated, data.V_of(r), data.params["noise_cov"])
        ridge = ridge_covariances(rotated, ridge_penalty(rotated))
        gain.append(correlation(posterior(rotated, fit.V, fit.sigma).mean, B) - correlation(posterior(rotated, *ridge).mean, B))
        fits.append(fit)
    return np.array(gain), fits


# ---- row 1: the likelihood, the gradients and the posterior against dense formulas -----------------


def dense(Y, M, V, sigma, intercept):
    "vec(Y) and its covariance, the intercept taken out by an orthonormal basis of what sums to zero."
    K = null_space(np.ones((1, len(Y)))) if intercept else np.eye(len(Y))
    Y, M = K.T @ Y, K.T @ M
    return Y.ravel(order="F"), M, np.kron(V, M @ M.T) + np.kron(sigma, np.eye(len(Y)))


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("T", [30, 80])
def test_likelihood_is_the_dense_normal_density(T, intercept):
    data = tables(T=T)
    Y, M, V, sigma = data.Y_of(0), data.params["motif"], spd(4, 1), spd(4, 2)
    y, _, covariance = dense(Y, M, V, sigma, intercept)
    expected = multivariate_normal(np.zeros(len(y)), covariance).logpdf(y)
    assert log_likelihood(rotate(Y, M, intercept), V, sigma) == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("T", [30, 80])
def test_posterior_is_the_dense_gaussian_process_formula(T):
    data = tables(T=T)
    Y, M, V, sigma = data.Y_of(0), data.params["motif"], spd(4, 1), spd(4, 2)
    y, M0, covariance = dense(Y, M, V, sigma, True)
    cross = np.kron(V, M0.T)
    mean = (cross @ np.linalg.solve(covariance, y)).reshape(T, 4, order="F")
    variance = np.diag(np.kron(V, np.eye(T)) - cross @ np.linalg.solve(covariance, cross.T)).reshape(T, 4, order="F")
    found = posterior(rotate(Y, M), V, sigma)
    assert np.abs(found.mean - mean).max() < 1e-10 and np.abs(found.sd - np.sqrt(variance)).max() < 1e-10


def test_posterior_with_a_singular_activity_covariance():
    data = tables()
    f = np.random.default_rng(3).standard_normal((4, 2))
    V, sigma = f @ f.T, spd(4, 2)
    y, M0, covariance = dense(data.Y_of(0), data.params["motif"], V, sigma, True)
    mean = (np.kron(V, M0.T) @ np.linalg.solve(covariance, y)).reshape(30, 4, order="F")
    assert np.abs(posterior(rotate(data.Y_of(0), data.params["motif"]), V, sigma).mean - mean).max() < 1e-10


@pytest.mark.parametrize("T", [30, 80])
def test_gradients_are_central_differences(T):
    data = tables(T=T)
    rotated, V, sigma, h = rotate(data.Y_of(0), data.params["motif"]), spd(4, 1), spd(4, 2), 1e-5
    by_v, by_sigma = gradients(rotated, V, sigma)
    for i in range(4):
        for j in range(i + 1):
            step = np.zeros((4, 4))
            step[i, j] = step[j, i] = h
            numeric_v = (log_likelihood(rotated, V + step, sigma) - log_likelihood(rotated, V - step, sigma)) / 2 / h
            numeric_sigma = (log_likelihood(rotated, V, sigma + step) - log_likelihood(rotated, V, sigma - step)) / 2 / h
            assert (by_v * step).sum() / h == pytest.approx(numeric_v, rel=1e-5, abs=1e-4)
            assert (by_sigma * step).sum() / h == pytest.approx(numeric_sigma, rel=1e-5, abs=1e-4)


def test_canonical_basis_makes_both_diagonal():
    V, sigma = spd(6, 1), spd(6, 2)
    basis = canonical(V, sigma)
    assert np.allclose(basis.A.T @ sigma @ basis.A, np.eye(6)) and np.allclose(basis.A.T @ V @ basis.A, np.diag(basis.eigenvalues))
    assert np.allclose(basis.A @ basis.A_inverse, np.eye(6)) and basis.log_det == pytest.approx(np.linalg.slogdet(sigma)[1])


# ---- row 2: proportional covariances are ridge --------------------------------------------------------


@pytest.mark.parametrize("matrix", [np.eye(4), spd(4, 5)], ids=["identity", "random"])
def test_proportional_covariances_are_ridge(matrix):
    data = tables(G=300, T=100)
    Y, M = data.Y_of(0), data.params["motif"]
    expected = Ridge(alpha=50).fit(M, Y).coef_.T
    assert np.abs(posterior(rotate(Y, M), 0.01 * matrix, 0.5 * matrix).mean - expected).max() < 1e-10


def test_ridge_penalties_minimise_their_criteria():
    data = tables(G=200, T=50)
    Y, M = data.Y_of(0), data.params["motif"]
    Yc, Mc, rotated = Y - Y.mean(axis=0), M - M.mean(axis=0), rotate(Y, M)

    def gcv(penalty):
        H = Mc @ np.linalg.solve(Mc.T @ Mc + penalty * np.eye(50), Mc.T)
        return ((Yc - H @ Yc) ** 2).sum() / (199 - np.trace(H)) ** 2

    best = ridge_penalty(rotated, "gcv")
    assert gcv(best) <= min(gcv(best * 1.01), gcv(best / 1.01))
    best, likelihood = ridge_penalty(rotated, "reml"), lambda penalty: log_likelihood(rotated, *ridge_covariances(rotated, penalty))
    assert likelihood(best) >= max(likelihood(best * 1.01), likelihood(best / 1.01))
    assert likelihood(best) == pytest.approx(fit_covariances(rotated, "identity", "identity").log_likelihood, abs=1e-5)


# ---- row 3: simulation (see also test_activity_simulation.py) is in its own file ------------------------
# ---- rows 4 and 5: where the mixed model gains -----------------------------------------------------------


@cache
def small_gain(activity_cov: str, noise_cov: str, fraction: float) -> float:
    gain, _ = pair_gains(**SMALL, activity_cov=(activity_cov,), noise_cov=noise_cov, noise_fraction=fraction, replicates=20)
    return gain.mean()


def test_small_gain_where_noise_is_uncorrelated():
    assert small_gain("lowrank_2", "identity", 0.0) > 0.05


def test_small_no_gain_where_noise_resembles_the_signal():
    assert -0.04 < small_gain("freeform", "identityV", 0.99) < 0.01


def test_small_gain_falls_with_the_share_of_noise_like_the_signal():
    falling = [small_gain("lowrank_2", "identityV", f) for f in (0.3, 0.6, 0.99)]
    assert falling == sorted(falling, reverse=True) and falling[0] > 0.01


FULL_GAIN = {4: 0.06, 8: 0.15, 16: 0.20}


@pytest.mark.slow
@pytest.mark.parametrize("C", FULL_GAIN)
def test_full_gain_where_noise_is_uncorrelated(C, record_property):
    gain, _ = pair_gains(**FULL, n_conditions=C, activity_cov=("lowrank_2",), replicates=10)
    record_property("gain", gain.mean())
    assert gain.mean() > FULL_GAIN[C]


@pytest.mark.slow
def test_full_gain_falls_with_the_share_of_noise_like_the_signal(record_property):
    how = dict(n_conditions=8, activity_cov=("lowrank_2",), noise_cov="identityV", replicates=10)
    falling = [pair_gains(**FULL, **how, noise_fraction=f)[0].mean() for f in (0.3, 0.5, 0.7, 0.9, 0.99)]
    record_property("gains", falling)
    assert falling == sorted(falling, reverse=True) and abs(falling[3]) < 0.04


# ---- row 6: nothing to share -------------------------------------------------------------------------------


def nothing_shared(replicates: int, **size) -> pd.Series:
    setting = ActivityConfig(**size, signal_fraction=0.4, activity_cov="identity", replicates=replicates)
    return activity_study([setting], progress=False).groupby("method")["correlation"].mean()


def test_small_auto_is_ridge_where_nothing_is_shared():
    mean = nothing_shared(10, n_genes=300, n_tfs=100)
    assert mean[MIXED] < mean["ridge"] and abs(mean["auto"] - mean["ridge"]) < 0.005


@pytest.mark.slow
def test_full_auto_is_ridge_where_nothing_is_shared(record_property):
    mean = nothing_shared(10, **FULL)
    record_property("means", dict(mean))
    assert mean[MIXED] < mean["ridge"] and abs(mean["auto"] - mean["ridge"]) < 0.005


# ---- row 7: the test of proportionality ----------------------------------------------------------------------


def p_values(replicates: int, **options) -> np.ndarray:
    data = simulate_activity(ActivityConfig(**options, replicates=replicates))
    rotated = (rotate(data.Y_of(r), data.params["motif"]) for r in range(replicates))
    return np.array([proportionality_test(fit_covariances(one), fit_covariances(one, "proportional")).p for one in rotated])


def test_small_likelihood_ratio_test():
    null = p_values(60, **SMALL, activity_cov=("identity",))
    power = p_values(10, **SMALL, activity_cov=("freeform",))
    assert (null < 0.05).mean() <= 0.12 and 0.3 < np.median(null) < 0.7 and (power < 0.05).mean() > 0.9


@pytest.mark.slow
def test_full_likelihood_ratio_test(record_property):
    size = (p_values(200, **FULL, activity_cov=("identity",)) < 0.05).mean()
    power = (p_values(30, **FULL, activity_cov=("freeform",)) < 0.05).mean()
    record_property("size", size)
    record_property("power", power)
    assert 0.02 <= size <= 0.09 and power > 0.9


# ---- row 8: coverage -----------------------------------------------------------------------------------------------


def coverage(replicates: int, **options) -> tuple[float, float]:
    "Of 95 % intervals, with the true and with the fitted covariances."
    data, inside = simulate_activity(ActivityConfig(**options, replicates=replicates)), []
    for r in range(replicates):
        rotated, B = rotate(data.Y_of(r), data.params["motif"]), data.beta_of(r)
        fit = fit_covariances(rotated)
        for V, sigma in ((data.V_of(r), data.params["noise_cov"]), (fit.V, fit.sigma)):
            found = posterior(rotated, V, sigma)
            inside.append((np.abs(found.mean - B) < 1.959964 * found.sd).mean())
    return float(np.mean(inside[::2])), float(np.mean(inside[1::2]))


def test_small_coverage():
    true, fitted = coverage(20, **SMALL, activity_cov=("lowrank_2",))
    assert 0.935 < true < 0.965 and fitted > 0.88


@pytest.mark.slow
def test_full_coverage(record_property):
    for kind in ("lowrank_2", "freeform", "identity"):
        true, fitted = coverage(10, **FULL, activity_cov=(kind,))
        record_property(kind, (true, fitted))
        assert 0.94 <= true <= 0.96 and fitted > 0.88


# ---- row 9: the fit (its likelihood is asserted in every pair above) ----------------------------------------------


def test_sixteen_conditions_fit_in_five_seconds(record_property):
    data = simulate_activity(ActivityConfig(**FULL, n_conditions=16, activity_cov="lowrank_2"))
    start = time.process_time()
    fit = fit_covariances(rotate(data.Y_of(0), data.params["motif"]))
    seconds = time.process_time() - start
    record_property("seconds", seconds)
    assert fit.converged and seconds < 5


STRUCTURES = [(v, n) for v in (*ACTIVITY_KINDS, "lowrank_2") for n in NOISE_KINDS]


@pytest.mark.parametrize("activity_cov, noise_cov", STRUCTURES)
def test_every_structure_reaches_a_maximum_within_itself(activity_cov, noise_cov):
    "No start does better, and the gradient by the noise's size (a direction in every structure) is zero."
    data = tables(G=200, T=50, activity_cov=("freeform",), noise_cov="random")
    rotated = rotate(data.Y_of(0), data.params["motif"])
    fit = fit_covariances(rotated, activity_cov, noise_cov)
    others = [fit_covariances(rotated, activity_cov, noise_cov, init="jitter", seed=s).log_likelihood for s in range(3)]
    assert fit.converged and max(others) < fit.log_likelihood + 1e-3
    by_v, by_sigma = gradients(rotated, fit.V, fit.sigma)
    assert abs((by_sigma * fit.sigma).sum() + (by_v * fit.V).sum()) < 0.05
    if noise_cov != "freeform":
        assert np.count_nonzero(fit.sigma - np.diag(np.diag(fit.sigma))) == 0
    if activity_cov == "proportional":
        assert np.allclose(fit.V / fit.sigma.max(), fit.sigma * fit.V[0, 0] / fit.sigma[0, 0] / fit.sigma.max())
    if activity_cov == "lowrank_2":
        assert np.linalg.matrix_rank(fit.V) == 2
    if activity_cov == "block":
        assert np.ptp(np.diag(fit.V)) < 1e-12 and np.ptp(fit.V[np.triu_indices(4, 1)]) < 1e-12


def test_a_larger_structure_fits_at_least_as_well():
    data = tables(G=200, T=50, activity_cov=("freeform",), noise_cov="random")
    rotated = rotate(data.Y_of(0), data.params["motif"])
    value = {pair: fit_covariances(rotated, *pair).log_likelihood for pair in STRUCTURES}
    nested = [("identity", "diagonal"), ("identity", "block"), ("block", "freeform"), ("diagonal", "freeform"), ("lowrank_2", "freeform")]
    for noise in NOISE_KINDS:
        assert all(value[small, noise] <= value[large, noise] + 1e-4 for small, large in nested)
    for kind in (*ACTIVITY_KINDS, "lowrank_2"):
        assert value[kind, "identity"] <= value[kind, "diagonal"] + 1e-4 <= value[kind, "freeform"] + 2e-4


def test_diagonal_covariances_are_one_fit_for_each_condition():
    data = tables(G=200, T=50, activity_cov=("freeform",))
    Y, M = data.Y_of(0), data.params["motif"]
    alone = sum(fit_covariances(rotate(Y[:, [c]], M), "identity", "identity").log_likelihood for c in range(4))
    assert fit_covariances(rotate(Y, M), "diagonal", "diagonal").log_likelihood == pytest.approx(alone, abs=1e-4)


def test_units_play_no_part():
    data = tables(G=200, T=50)
    Y, M = data.Y_of(0), data.params["motif"]
    one, other = fit_covariances(rotate(Y, M)), fit_covariances(rotate(1000 * Y + 7, M / 50 - 3))
    assert np.allclose(other.V, 1e6 * 2500 * one.V, rtol=1e-3) and np.allclose(other.sigma, 1e6 * one.sigma, rtol=1e-3)


def test_starts_at_truth_and_jitter_lead_to_the_same_maximum():
    data = tables(G=200, T=50)
    Y, M = data.Y_of(0), data.params["motif"]
    fits = [
        fit_covariances(rotate(Y, M), init=i, truth=(data.V_of(0), data.params["noise_cov"]), seed=1)
        for i in ("default", "truth", "jitter")
    ]
    assert np.ptp([f.log_likelihood for f in fits]) < 1e-3 and np.abs(fits[0].V - fits[1].V).max() < 0.01 * np.abs(fits[0].V).max()


# ---- what real tables hold --------------------------------------------------------------------------------------------


def test_collinear_and_constant_columns():
    data = tables(G=200, T=20)
    Y, M = data.Y_of(0), data.params["motif"]
    wide = np.column_stack([M, M[:, 0], np.ones(200), M[:, 1] + M[:, 2]])
    fit = fit_motif_activity(Y, wide)
    mean, sd = fit.activities
    assert np.isfinite(mean).all() and np.isfinite(sd).all() and np.allclose(mean[0], mean[20])
    assert np.abs(mean[21]).max() < 1e-12 and np.allclose(sd[21], np.sqrt(np.diag(fit.chosen.V)))


def test_more_factors_than_genes():
    data = tables(G=60, T=200)
    fit = fit_motif_activity(data.Y_of(0), data.params["motif"])
    assert fit.rotated.n0 == 0 and fit.chosen.converged and np.isfinite(fit.activities.mean).all()


def test_one_condition_is_ridge():
    data = tables(G=200, T=50, C=1)
    Y, M = data.Y_of(0), data.params["motif"]
    for method in ("auto", "mixed", "ridge"):
        fit = fit_motif_activity(Y, M, method)
        expected = Ridge(alpha=fit.chosen.sigma[0, 0] / fit.chosen.V[0, 0]).fit(M, Y).coef_.reshape(-1, 1)
        assert np.abs(fit.activities.mean - expected).max() < 1e-10 and fit.test is None
    assert candidates("auto", "auto", 1) == (("identity", "identity"),)


def test_noise_alone_gives_no_activity():
    rng = np.random.default_rng(0)
    fit = fit_motif_activity(rng.standard_normal((300, 3)), rng.random((300, 20)))
    assert fitted_r2(fit.rotated, fit.activities).max() < 0.05 and np.abs(fit.activities.z).max() < 4


def test_too_few_genes_for_a_freeform_covariance():
    rng = np.random.default_rng(0)
    Y, M = rng.standard_normal((12, 8)), rng.random((12, 5))
    assert np.isfinite(fit_motif_activity(Y, M).activities.mean).all()
    with pytest.raises(InputError, match="too few"):
        fit_motif_activity(Y, M, "mixed", "freeform", "freeform")


def test_conditions_that_repeat_each_other():
    rng = np.random.default_rng(0)
    Y, M = rng.standard_normal((100, 3)), rng.random((100, 5))
    Y = np.column_stack([Y, Y[:, 0] - Y[:, 1]])
    with pytest.raises(InputError, match="conditions 1, 2, 4"):
        fit_motif_activity(Y, M, "mixed", "freeform", "freeform")
    assert fit_motif_activity(Y, M, "ridge").chosen.activity_cov == "identity"
    with pytest.raises(InputError, match="condition 2 of the response is constant"):
        fit_motif_activity(np.column_stack([Y[:, 0], np.ones(100)]), M)
    with pytest.raises(InputError, match="every predictor column is constant"):
        fit_motif_activity(Y[:, :3], np.ones((100, 2)))


@pytest.mark.parametrize(
    "method, activity_cov, noise_cov, says",
    [
        ("mixd", "auto", "auto", "Did you mean 'mixed'"),
        ("auto", "freefrom", "auto", "Did you mean 'freeform'"),
        ("auto", "lowrank_9", "auto", "lowrank_1 to lowrank_4"),
        ("auto", "lowrank_0", "auto", "lowrank_1 to lowrank_4"),
        ("auto", "auto", "proportional", "--noise_cov proportional"),
    ],
)
def test_unknown_structures_are_refused(method, activity_cov, noise_cov, says):
    data = tables()
    with pytest.raises(InputError, match=says):
        fit_motif_activity(data.Y_of(0), data.params["motif"], method, activity_cov, noise_cov)


@pytest.mark.parametrize("method", ["mixed", "auto"])
@pytest.mark.parametrize(
    "activity_cov, noise_cov", [("freeform", "auto"), ("auto", "diagonal"), ("block", "identity"), ("lowrank_1", "freeform")]
)
def test_the_choice_keeps_to_what_was_asked(method, activity_cov, noise_cov):
    data = tables(G=200, T=50)
    fit = fit_motif_activity(data.Y_of(0), data.params["motif"], method, activity_cov, noise_cov)
    ridge = method == "auto" and (fit.chosen.activity_cov, fit.chosen.noise_cov) == ("identity", "identity")
    assert ridge or activity_cov in ("auto", fit.chosen.activity_cov) and noise_cov in ("auto", fit.chosen.noise_cov)
    assert [f.aic for f in fit.compared] == sorted(f.aic for f in fit.compared)


def test_aic_counts_parameters():
    data = tables(G=200, T=50)
    rotated = rotate(data.Y_of(0), data.params["motif"])
    expected = {
        ("freeform", "freeform"): 20,
        ("lowrank_2", "diagonal"): 11,
        ("proportional", "freeform"): 11,
        ("block", "identity"): 3,
        ("diagonal", "diagonal"): 8,
    }
    for pair, parameters in expected.items():
        fit = fit_covariances(rotated, *pair)
        assert fit.parameters == parameters and fit.aic == 2 * parameters - 2 * fit.log_likelihood


def test_explained_variance_against_plain_formulas():
    data = tables(G=200, T=50)
    Y, M = data.Y_of(0), data.params["motif"]
    fit = fit_motif_activity(Y, M)
    fitted = (M - M.mean(axis=0)) @ fit.activities.mean + Y.mean(axis=0)
    assert np.allclose(
        fitted_r2(fit.rotated, fit.activities), 1 - ((Y - fitted) ** 2).sum(axis=0) / ((Y - Y.mean(axis=0)) ** 2).sum(axis=0)
    )
    penalty = fit.penalty
    fold = np.random.default_rng(7).permutation(np.arange(200) % 5)
    missed, total = np.zeros(4), np.zeros(4)
    for f in range(5):
        model = Ridge(alpha=penalty).fit(M[fold != f], Y[fold != f])
        missed += ((Y[fold == f] - model.predict(M[fold == f])) ** 2).sum(axis=0)
        total += ((Y[fold == f] - Y[fold != f].mean(axis=0)) ** 2).sum(axis=0)
    assert np.allclose(held_out_r2(Y, M, {"ridge": (fit.ridge.V, fit.ridge.sigma)}, seed=7)["ridge"], 1 - missed / total)
