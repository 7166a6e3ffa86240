"""Methods with a stated error rate, against statsmodels, brute force and known truth."""

import dataclasses
import json
import re

import numpy as np
import pandas as pd
import pytest
from examples import files_of, small_tables, write_tables

from tfbpmodeling.artifacts import read_run, write_run
from tfbpmodeling.config import Config, InputError
from tfbpmodeling.design_matrix import all_data_terms
from tfbpmodeling.inference import (
    COLUMNS,
    METHODS,
    InferenceDesign,
    adjusted_p_values,
    aggregated_p_values,
    first_to_enter,
    infer,
    inference_design,
    knockoff_columns,
    knockoff_q,
    multi_split,
    p_values,
    require_knockoffs,
    robust_ols,
    smooth_curve,
    stability,
    unlikely_bound,
)
from tfbpmodeling.least_squares import NOT_ITS_OWN, ONE_GENE, hc3_fit
from tfbpmodeling.modeling_data import make_modeling_data
from tfbpmodeling.report import sureness_block
from tfbpmodeling.workflow import run

sm = pytest.importorskip("statsmodels.api")


def design_of(n=500, m=12, active=3, effect=0.5, seed=0, noise=None) -> tuple[InferenceDesign, set[str]]:
    "Interactors among log-normal binding; the curve of the pTF and two main effects act in any case."
    rng, names = np.random.default_rng(seed), [f"T{j:02d}" for j in range(m)]
    x = pd.DataFrame(rng.lognormal(0, 0.6, (n, m + 1)), [f"G{i:04d}" for i in range(n)], ["P", *names])
    e = rng.standard_t(5, n) if noise is None else noise(rng, n)
    y = effect * sum(((-1) ** i * x["P"] * x[t] for i, t in enumerate(names[:active])), start=0 * x["P"])
    y = y + 0.7 * x[names[-1]] - 0.5 * x[names[-2]] + 2 * np.log1p(x["P"]) + e
    data = make_modeling_data(y.to_frame("P"), x, "P")
    return inference_design(data, Config(perturbed_tf="P")), {f"P:{t}" for t in names[:active]}


# ---------------------------------------------------------------- the model


def test_every_main_effect_stands_beside_the_interactors():
    response, binding = small_tables()
    data = make_modeling_data(response, binding, "P")
    config = Config(perturbed_tf="P", exclude_interactor_variables="hot", row_max=True, squared_pTF=True, add_model_variables="A:B")
    design, x = inference_design(data, config), data.predictors
    assert design.terms == ("P:A", "P:B", "P:C", "P:D") and design.variants == ("A", "B", "C", "D")
    assert set(all_data_terms(data, config)) == {*design.terms, "I(P ** 2)", "row_max", "A:B"}
    np.testing.assert_array_equal(design.X, x[["A", "B", "C", "D"]].mul(x["P"], axis=0))
    np.testing.assert_array_equal(design.mains, x[["A", "B", "C", "D"]])
    extra = np.column_stack([x["hot"], x["P"] ** 2, x.max(axis=1), x["A"] * x["B"]])
    np.testing.assert_allclose(design.beside[:, -4:], extra)
    np.testing.assert_array_equal(design.beside[:, :2], np.column_stack([np.ones(len(x)), x["P"]]))
    assert (design.touched == ((x["P"] > 0) & (x[["A", "B", "C", "D"]] > 0).any(axis=1))).all()


def test_the_curve_is_cubic_between_knots_and_straight_beyond():
    x = np.r_[np.zeros(40), np.random.default_rng(0).lognormal(0, 1, 400)]
    knots = np.r_[0, np.quantile(x[x > 0], np.linspace(0.05, 0.95, 5))]
    columns = smooth_curve(x)
    assert columns.shape == (440, 5) and (columns[:, 0] == x).all()

    def fitted(z):  # an independent basis of the same space: truncated cubes, straight at both ends
        cubes = np.maximum(z[:, None] - knots, 0) ** 3
        ends = np.array([[1.0] * 6, list(knots)])  # sum of coefficients, and of coefficient × knot, are zero beyond the last knot
        null = np.linalg.svd(ends)[2][2:].T
        return np.column_stack([np.ones(len(z)), z, cubes @ null])

    both = np.column_stack([np.ones(len(x)), columns, fitted(x)])
    both /= np.linalg.norm(both, axis=0)
    s = np.linalg.svd(both, compute_uv=False)
    assert s[5] > 1e-5 > 1e-9 > s[6]


def test_a_binding_of_two_values_has_no_curve():
    assert smooth_curve(np.repeat([0.0, 1.0], 20)).shape == (40, 1)


# ---------------------------------------------------------------- least squares and p-values


@pytest.mark.parametrize("seed", range(3))
def test_hc3_is_that_of_statsmodels(seed):
    design, _ = design_of(n=180, seed=seed)
    columns = np.column_stack([design.nuisance, design.X])
    theirs = sm.OLS(design.y, columns).fit(cov_type="HC3", use_t=True)
    coef, se, n_free = hc3_fit(columns, design.y, np.arange(columns.shape[1]))
    np.testing.assert_allclose(coef, theirs.params, rtol=1e-7)
    np.testing.assert_allclose(se, theirs.bse, rtol=1e-7)
    assert n_free == theirs.df_resid
    np.testing.assert_allclose(p_values(coef, se, n_free), theirs.pvalues, rtol=1e-6)


@pytest.mark.parametrize("how, dependent", [("fdr_bh", False), ("fdr_by", True)])
def test_adjusted_p_values_are_those_of_statsmodels(how, dependent):
    from statsmodels.stats.multitest import multipletests

    rng = np.random.default_rng(1)
    for p in (rng.uniform(size=50) ** 3, np.r_[0.01, 0.01, 0.5, 1, 1], np.array([0.3])):
        np.testing.assert_allclose(adjusted_p_values(p, dependent), multipletests(p, method=how)[1], rtol=1e-12)


def test_columns_that_cannot_be_judged_say_so_and_spare_the_others():
    "A repeated column, a constant one, one that rests on a single gene, and rows of zeros."
    rng = np.random.default_rng(2)
    a, b, single = rng.normal(size=60), rng.normal(size=60), np.zeros(60)
    a[50:] = b[50:] = 0
    single[3] = 1.0
    y = 2 * a + rng.normal(size=60)
    coef, se, n_free = hc3_fit(np.column_stack([np.ones(60), a, b, b, np.full(60, 7.0), single, np.zeros(60)]), y, np.arange(1, 7))
    plain = np.column_stack([np.ones(60), a, b, single])
    theirs = sm.OLS(np.delete(y, 3), np.delete(plain[:, :3], 3, axis=0)).fit(cov_type="HC3")
    np.testing.assert_allclose([coef[0], se[0]], [theirs.params[1], theirs.bse[1]], rtol=1e-7)
    assert np.isnan(coef[[1, 2, 3, 5]]).all() and se[4] == np.inf and n_free == 60 - 4
    p = p_values(coef, se, n_free)
    assert p[0] < 1e-6 and (p[1:] == 1).all()


def test_the_table_says_why_a_number_is_missing():
    design, _ = design_of(n=200, m=4)
    single = np.zeros(200)
    single[7] = 3.0
    X = np.column_stack([design.X[:, 0], design.mains[:, 1], single, design.X[:, 3]])
    table = robust_ols(dataclasses.replace(design, X=X)).table
    assert (
        table["note"].tolist() == ["", NOT_ITS_OWN, ONE_GENE, ""]
        and table["p"][1:3].tolist() == [1, 1]
        and table["se"].notna().tolist() == [True, False, False, True]
    )


def test_too_few_genes_for_least_squares_name_the_way_out():
    design, _ = design_of(n=59, m=12)
    with pytest.raises(InputError, match="12 interactors rest on 59 genes.*needs 60.*multi_split"):
        robust_ols(design)


# ---------------------------------------------------------------- multi-split


def test_aggregation_is_the_formula():
    rng = np.random.default_rng(3)
    for n in (20, 50, 51):
        p = np.minimum(1, rng.uniform(size=(n, 6)) ** np.array([0.2, 1, 2, 4, 8, 20]) * 5)
        grid = np.r_[np.linspace(0.05, 1, 4001), np.arange(1, n + 1) / n]
        grid = np.unique(grid[grid >= 0.05])
        brute = [min(np.sort(column)[int(np.ceil(round(g * n, 9))) - 1] / g for g in grid) for column in p.T]
        np.testing.assert_allclose(aggregated_p_values(p), np.minimum(1, (1 - np.log(0.05)) * np.array(brute)), rtol=1e-9)


def test_multi_split_is_the_same_for_a_seed_and_finds_what_is_planted():
    design, planted = design_of(seed=4, effect=1.0)
    one, again, other = (multi_split(design, random_state=s) for s in (5, 5, 6))
    pd.testing.assert_frame_equal(one.table, again.table, check_exact=True)
    assert not one.table["p"].equals(other.table["p"]) and set(one.selected) == planted


def test_more_terms_than_genes_still_leave_half_of_the_genes_to_judge():
    design, planted = design_of(n=300, m=320, active=2, effect=2.0, seed=7)
    assert planted == set(multi_split(design, n_splits=20).selected)


# ---------------------------------------------------------------- stability


def test_the_first_terms_of_the_path_are_those_of_lars():
    from sklearn.linear_model import lars_path

    for seed in range(4):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(120, 15))
        y = X[:, :4] @ [2, -1.5, 1, 0.8] + rng.normal(size=120)
        X, y = (X - X.mean(axis=0)) / X.std(axis=0), y - y.mean()
        entered = list(dict.fromkeys(int(j) for coef in lars_path(X, y, method="lasso")[2].T for j in np.flatnonzero(coef)))
        assert set(first_to_enter(X, y, 4)) == set(entered[:4])


def test_the_bound_is_that_of_the_paper():
    "Theorem 2 for a threshold above 3/4; at threshold 1 and many pairs it goes to zero."
    assert unlikely_bound(10, 100, 0.9, 50) == pytest.approx(4 * (1 - 0.9 + 0.01) / 1.02 * 100 / 100)
    assert unlikely_bound(10, 100, 1.0, 10**9) < 1e-6


def test_unlikely_terms_stay_below_the_bound():
    "Nothing acts: every candidate is chosen about as often as chance, so the mean number selected is at most the bound."
    counts = []
    for seed in range(12):
        design, _ = design_of(n=200, m=8, active=0, seed=seed)
        design = dataclasses.replace(design, y=np.random.default_rng(seed).normal(size=200))
        counts.append(len(stability(design, n_pairs=20).selected))
    assert np.mean(counts) - 2 * np.std(counts) / np.sqrt(12) <= 1.0
    found = stability(design_of(seed=8)[0])
    assert set(found.selected) == design_of(seed=8)[1] and "not a false discovery rate" in found.promise


# ---------------------------------------------------------------- knockoffs


def test_knockoffs_have_the_promised_inner_products():
    design, _ = design_of(n=300, m=20)
    X, _ = require_knockoffs(design)
    made = knockoff_columns(X, design.nuisance, np.random.default_rng(0))
    sigma = X.T @ X
    np.testing.assert_allclose(np.diag(sigma), 1)
    np.testing.assert_allclose(made.T @ made, sigma, atol=1e-9)
    gap = sigma - X.T @ made
    np.testing.assert_allclose(gap, np.eye(20) * min(1, 2 * np.linalg.eigvalsh(sigma)[0]), atol=1e-9)
    np.testing.assert_allclose(made.T @ (design.nuisance / np.linalg.norm(design.nuisance, axis=0)), 0, atol=1e-9)


def test_the_filter_is_the_definition():
    rng = np.random.default_rng(5)
    for _ in range(20):
        W = rng.normal(0.5, 1, 25).round(1)
        for q in (0.1, 0.2, 0.5):
            passing = [t for t in sorted(set(np.abs(W)) - {0}) if (1 + sum(W <= -t)) / max(1, sum(W >= t)) <= q]
            expected = W >= passing[0] if passing else np.zeros(25, dtype=bool)
            np.testing.assert_array_equal(knockoff_q(W) <= q, expected)


def test_knockoffs_are_refused_with_the_way_out():
    with pytest.raises(InputError, match="need 160 touched genes, and 150 are: use --inference multi_split"):
        infer(design_of(n=150, m=80)[0], "knockoff")
    design, _ = design_of()
    with pytest.raises(InputError, match="not of full rank"):
        infer(dataclasses.replace(design, X=np.column_stack([design.X[:, :-1], design.X[:, 0]])), "knockoff")


def test_nothing_below_ten_at_one_tenth():
    few, planted = design_of(n=800, m=20, active=3, effect=1.0)
    many, more = design_of(n=800, m=20, active=14, effect=1.0)
    assert len(planted) == 3 and infer(few, "knockoff").selected == ()
    found = set(infer(many, "knockoff").selected)
    assert len(found) >= 10 and len(found - more) <= 2


# ---------------------------------------------------------------- rates


@pytest.mark.parametrize("method, n_sets", [("robust_ols", 80), ("multi_split", 15), ("knockoff", 40)])
def test_where_nothing_interacts_the_rate_holds(method, n_sets):
    "Main effects and a saturating curve of the pTF only: any selection is false, so the rate is the share of data sets with one."
    false = [len(infer(design_of(n=400, m=10, active=0, seed=100 + s)[0], method, 0.1, s).selected) > 0 for s in range(n_sets)]
    assert np.mean(false) <= 0.1 + 2.33 * np.sqrt(0.1 * 0.9 / n_sets)


# ---------------------------------------------------------------- in a run


@pytest.fixture(scope="module")
def data():
    return make_modeling_data(*small_tables(240), "P")


QUICK = Config(perturbed_tf="P", n_bootstraps=20, random_state=1, top_n=100, n_cpus=1)


@pytest.mark.parametrize("method", METHODS)
def test_a_run_adds_a_table_and_changes_nothing_else(data, method, tmp_path):
    plain, asked = (run(dataclasses.replace(QUICK, inference=i), data, progress=False) for i in ("percentile", method))
    for name, result in (("plain", plain), ("asked", asked)):
        (tmp_path / name).mkdir()
        write_run(tmp_path / name, result)
    before, after = files_of(tmp_path / "plain"), files_of(tmp_path / "asked")
    assert set(after) - set(before) == {f"inference/{method}.csv"}
    changed = {name for name in before if before[name] != after[name]}
    assert changed <= {"run.json"}
    table = pd.read_csv(tmp_path / "asked" / "inference" / f"{method}.csv")
    assert list(table.columns) == list(COLUMNS) and table["term"].tolist() == [f"P:{t}" for t in "A B C D hot".split()]
    facts = json.loads(after["run.json"])
    assert facts["inference"]["selected"] == table.loc[table["selected"], "term"].tolist() and "inference" not in json.loads(
        before["run.json"]
    )
    back = read_run(tmp_path / "asked")
    pd.testing.assert_frame_equal(back.inference.table, asked.inference.table, check_dtype=False)
    assert back.inference.promise in sureness_block(back).html and read_run(tmp_path / "plain").inference is None
    draws = asked.all_data.bootstrap_coefs_df
    cells = [
        f"<td>{(draws[t] != 0).mean():.1%}</td><td>{max((draws[t] > 0).mean(), (draws[t] < 0).mean()):.1%}</td>"
        for t in asked.inference.table["term"]
    ]
    plain_cells = re.sub(r"<td[^>]*>", "<td>", sureness_block(back).html)
    assert all(pair in plain_cells for pair in cells)
    if method in ("robust_ols", "multi_split"):
        assert {"P:A", "P:B"} <= set(asked.inference.selected)


def test_a_method_that_is_not_possible_stops_the_run_before_it_starts(tmp_path, capsys):
    from tfbpmodeling.cli import main

    response, binding = small_tables(30)
    files = write_tables(tmp_path, response, binding)
    words = ["linear_perturbation_binding_modeling", *files, "--perturbed_tf", "P", "--output_dir", str(tmp_path / "out"), "--no_report"]
    assert main([*words, "--inference", "robust_ols", "--bins", "0,inf"]) == 2
    said = capsys.readouterr().err
    assert "use --inference multi_split" in said and len(said.strip().splitlines()) == 1 and not (tmp_path / "out").exists()


def test_the_nominal_rate_is_used(data):
    strict, lenient = (
        run(dataclasses.replace(QUICK, inference="robust_ols", inference_q=q), data, progress=False).inference for q in (1e-12, 0.999)
    )
    pd.testing.assert_series_equal(strict.table["q"], lenient.table["q"])
    assert (strict.table["selected"] == (strict.table["q"] <= 1e-12)).all() and lenient.table["selected"].sum() > strict.table[
        "selected"
    ].sum()


def test_without_interactors_there_is_nothing_to_judge(data):
    asked = dataclasses.replace(QUICK, inference="robust_ols", exclude_interactor_variables="exclude_all", ptf_main_effect=True)
    found = run(asked, data, progress=False).inference
    assert found.table.empty and list(found.table.columns) == list(COLUMNS) and found.selected == ()
