"""What the genes of a survivor do: the four groups, their contrast and the rival models, each against a computation of its own."""

import dataclasses
import re

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score

from tfbpmodeling.config import Config
from tfbpmodeling.interactor_significance import FOUR_GROUPS, binds, cubic_r2, four_groups, group_contrast, rival_models
from tfbpmodeling.modeling_data import load_modeling_data, make_modeling_data
from tfbpmodeling.plots import interaction, interaction_figures
from tfbpmodeling.report import best_block, comparison_block, groups_block, summary_block
from tfbpmodeling.workflow import run

N = 573


def tables(sparse: bool, seed: int = 0, scale: float = 1.0) -> tuple[pd.DataFrame, pd.DataFrame]:
    "A response with an interaction of P and A, and binding as real tables have it: nearly all of it zero, or none."
    rng = np.random.default_rng(seed)
    values = rng.lognormal(0, 0.4, (N, 3))
    if sparse:
        values *= rng.random((N, 3)) < [0.12, 0.4, 0.05]
    binding = pd.DataFrame(values, index=[f"G{i:03d}" for i in range(N)], columns=["P", "A", "B"])
    both = binds(values[:, 0])[0] & binds(values[:, 1])[0]
    response = pd.DataFrame({"P": 1.2 * binds(values[:, 0])[0] + scale * both + rng.normal(0, 0.5, N)}, index=binding.index)
    return response, binding


@pytest.mark.parametrize("sparse", [True, False])
def test_the_four_groups_are_those_of_a_loop(sparse):
    response, binding = tables(sparse)
    data = make_modeling_data(response, binding, "P")
    table = four_groups(data, ("P:A",)).set_index("group")
    limit = {c: binding[c].min() if sparse else np.quantile(data.predictors[c], 0.75) for c in "PA"}
    found = {name: [] for name in FOUR_GROUPS}
    for gene in data.genes:
        bound = tuple(binding.loc[gene, c] > limit[c] for c in "PA")
        found[{(False, False): "neither", (False, True): "other_only", (True, False): "ptf_only", (True, True): "both"}[bound]].append(
            response.loc[gene, "P"]
        )
    assert sum(table["n_genes"]) == data.n_genes
    for name, values in found.items():
        row, interval = table.loc[name], stats.ttest_1samp(values, 0).confidence_interval(0.95)
        assert row["n_genes"] == len(values) and np.isclose(row["mean"], np.mean(values))
        assert np.allclose([row["low"], row["high"]], [interval.low, interval.high])


def test_bound_means_bound_where_the_median_is_the_lowest_value():
    "The old figure cut at the median: of a factor that 3 % of the genes are bound by it called 97 % low."
    values = np.r_[np.zeros(556), np.linspace(0.8, 2, 17)]
    assert binds(values)[0].sum() == 17 and binds(values)[1] == "bound"
    assert abs(binds(np.random.default_rng(0).normal(size=N))[0].mean() - 0.25) < 0.01
    assert not binds(np.zeros(5))[0].any()


def test_the_interval_of_the_contrast_covers_the_truth_as_often_as_it_says():
    covered = []
    for seed in range(300):
        response, binding = tables(True, seed, scale=0.7)
        low, high = group_contrast(four_groups(make_modeling_data(response, binding, "P"), ("P:A",)))[1:]
        covered.append(low <= 0.7 <= high)
    assert abs(np.mean(covered) - 0.95) < 4 * np.sqrt(0.95 * 0.05 / 300)


def test_groups_without_genes_have_no_mean_and_no_contrast():
    response, binding = tables(True)
    binding["B"] = np.where(binding["P"] > 0, 0.0, 1.0)  # never bound together
    data = make_modeling_data(response, binding, "P")
    table = four_groups(data, ("P:B",)).set_index("group")
    assert table.loc["both", "n_genes"] == 0 and np.isnan(table.loc["both", "mean"])
    assert np.isnan(group_contrast(table.reset_index())).all()


def test_the_rivals_are_those_of_scikit_learn():
    response, binding = tables(True)
    data = make_modeling_data(response, binding, "P")
    row = rival_models(data, ("P:A",), Config()).iloc[0]
    x, y = data.predictors, data.response.to_numpy()
    p, a = x["P"].to_numpy(), x["A"].to_numpy()
    ranks = pd.Series(p).rank(ascending=False, method="average")
    folds = StratifiedKFold(4, shuffle=True, random_state=42)
    strata = np.digitize(ranks, [0, 8, 12], right=True)
    models = dict(r2_ptf=[p, p**2, p**3], r2_variant=[a], r2_product=[p * a], r2_without=[p, p**2, a], r2_with=[p, p**2, a, p * a])
    for name, columns in models.items():
        X = np.column_stack(columns)
        mine = cross_val_score(LinearRegression(), X, y, scoring="r2", cv=list(folds.split(X, strata)))
        assert np.isclose(row[name], mine.mean(), atol=1e-8), name
    assert np.isclose(row["gain"], row["r2_with"] - row["r2_without"])
    X = np.column_stack(models["r2_ptf"])
    assert np.isclose(cubic_r2(data), LinearRegression().fit(X, y).score(X, y))


@pytest.fixture(scope="module")
def result():
    response, binding = tables(True)
    return run(
        Config(perturbed_tf="P", n_bootstraps=100, random_state=1, n_cpus=1), make_modeling_data(response, binding, "P"), progress=False
    )


def words(block) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", block.__html__()))


def test_the_page_says_what_the_genes_do(result):
    assert result.survivors == ("P:A",)
    groups = four_groups(result.data, result.survivors).set_index("group")
    both, alone = groups.loc["both"], groups.loc["ptf_only"]
    head = words(summary_block(result))
    assert "Where P and A both bind, the mean response is higher" in head
    assert f"{both['mean']:.2f} ± {both['mean'] - both['low']:.2f} ({both['n_genes']} genes)" in head
    assert f"{alone['mean']:.2f} ± {alone['mean'] - alone['low']:.2f} ({alone['n_genes']} genes) where P does and A does not" in head
    assert all(f"({n} genes)" in words(groups_block(result)) for n in groups["n_genes"])
    figure = interaction_figures(result)[0]
    assert all(f"({n} genes)" in figure.alt for n in groups["n_genes"]) and "above the lowest value" in figure.caption


def test_the_page_says_where_the_perturbed_factor_alone_does_better(result):
    rivals = rival_models(result.data, result.survivors, result.config).iloc[0]
    page = words(comparison_block(result))
    assert ("The pTF alone does better than the product with A alone" in page) == (rivals["r2_ptf"] >= rivals["r2_product"])
    better = dataclasses.replace(result.best_model, r2=cubic_r2(result.data) - 0.01)
    assert "it does better than this model" in words(best_block(better, result.data))
    assert "it does better" not in words(best_block(dataclasses.replace(better, r2=1.0), result.data))


def test_no_line_crosses_the_gap_between_unbound_and_bound(result):
    "On sparse binding a line from zero to the first bound genes would pass where there are no genes."
    lines = [
        line.get_xdata() for line in interaction(result.data, "P:A").lines if len(line.get_xdata()) > 1 and line.get_label() != "_child0"
    ]
    lowest = result.data.binding.min()
    crossing = [x for x in lines if np.min(x) <= lowest < np.max(x) and len(x) > 2]
    assert not crossing


def test_sum1_and_ndt80(shared):
    "The finding of the published run: 261, 242, 22 and 48 genes."
    yeast = shared / "data" / "yeast"
    files = dict(response_file=str(yeast / "response_tfko.csv.gz"), predictors_file=str(yeast / "binding.csv.gz"))
    data = load_modeling_data(Config(**files, perturbed_tf="YDR310C"))
    table = four_groups(data, ("YDR310C:YHR124W",)).set_index("group").loc[list(FOUR_GROUPS)]
    assert table["n_genes"].tolist() == [261, 242, 22, 48]
    assert table["mean"].round(2).tolist() == [0.07, 0.08, 1.43, 2.47]
    rivals = rival_models(data, ("YDR310C:YHR124W",), Config()).iloc[0]
    assert rivals["r2_ptf"] > rivals["r2_product"] > rivals["r2_variant"]
