"""What survives where the response is permuted, counted again by hand."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
from examples import example_batch, files_of, small_tables, write_reports

from tfbpmodeling.artifacts import read_run, write_run
from tfbpmodeling.batch import SUMMARY
from tfbpmodeling.batch_tables import read_findings
from tfbpmodeling.config import Config
from tfbpmodeling.html import number
from tfbpmodeling.modeling_data import make_modeling_data
from tfbpmodeling.null_permutations import NullPermutations, binding_strata, null_seeds, permuted
from tfbpmodeling.overview import chance_totals, write_overview
from tfbpmodeling.report import chance_words, sureness_block
from tfbpmodeling.workflow import assemble_result, make_plan, null_permutations, run

QUICK = Config(
    perturbed_tf="P",
    n_bootstraps=30,
    random_state=3,
    top_n=120,
    n_cpus=1,
    bins="0,15,30,50,70,90,120,inf",
    all_data_ci_level=60,
    topn_ci_level=60,
)


@pytest.fixture(scope="module")
def data():
    "The pTF acts by itself, too: permuted within strata of its binding that effect stays, and its products pass by chance."
    response, binding = small_tables(240)
    return make_modeling_data(response.add(3 * binding["P"], axis=0), binding, "P")


@pytest.fixture(scope="module")
def asked(data):
    return run(dataclasses.replace(QUICK, null_permutations=4), data, progress=False)


def test_genes_change_places_within_strata_only(data):
    strata = binding_strata(data.binding.to_numpy())
    assert list(np.unique(strata)) == [0, 1, 2, 3, 4]
    mixed = permuted(data, strata, 7)
    for label in set(strata):
        at = strata == label
        assert sorted(mixed.response[at]) == sorted(data.response[at]) and list(mixed.response[at]) != list(data.response[at])
    assert mixed.predictors is data.predictors and (mixed.response.index == data.response.index).all()
    pd.testing.assert_series_equal(mixed.response, permuted(data, strata, 7).response)
    assert not mixed.response.equals(permuted(data, strata, 8).response)


@pytest.mark.parametrize("n_bound, groups", [(0, 1), (1, 2), (11, 2), (12, 5), (349, 5), (420, 7)])
def test_strata_are_the_unbound_genes_and_quantiles_of_the_bound_ones(n_bound, groups):
    "Against ranks counted by hand; ties stay together, and another unit of binding changes nothing."
    rng = np.random.default_rng(n_bound)
    bound = rng.permutation(np.arange(500) < n_bound)
    binding = np.where(bound, 1 + rng.random(500), 1.0)
    strata = binding_strata(binding)
    assert len(set(strata)) == groups and (strata[~bound] == 0).all() and (strata[bound] > 0).all()
    rank = (binding[bound][:, None] > binding[bound]).sum(axis=1)
    if groups > 2:
        k = groups - 1
        np.testing.assert_array_equal(strata[bound], 1 + np.minimum(np.ceil(rank / ((n_bound - 1) / k) - 1).clip(0), k - 1))
    np.testing.assert_array_equal(binding_strata(7 * binding - 3), strata)
    tied = binding_strata(np.round(binding, 1))
    assert all(len(set(tied[np.round(binding, 1) == v])) == 1 for v in set(np.round(binding, 1)))


def test_the_counts_are_those_of_runs_on_permuted_data(data, asked):
    "Each row is a whole run of its own, started by hand."
    strata = binding_strata(data.binding.to_numpy())
    for row in asked.null.table.itertuples():
        alone = run(dataclasses.replace(QUICK, random_state=row.seed), permuted(data, strata, row.seed), progress=False)
        assert (row.terms_kept_all_data, row.terms_kept_topn, row.survivors, row.selected) == tuple(
            alone.counts[c] for c in ("terms_kept_all_data", "terms_kept_topn", "survivors", "selected")
        )
    assert asked.null.table["survivors"].sum() > 0  # else nothing is compared


def test_the_rate_is_the_formula(asked):
    null = NullPermutations(pd.DataFrame({"survivors": [0, 3, 1, 2]}))
    assert null.mean() == 1.5 and null.error() == pytest.approx(np.std([0, 3, 1, 2], ddof=1) / 2)
    assert null.fdr(6) == pytest.approx((0.25, null.error() / 6)) and null.fdr(1)[0] == 1.0 and np.isnan(null.fdr(0)).all()
    facts = asked.null.facts(asked.counts)["survivors"]
    assert facts["observed"] == len(asked.survivors) and facts["null_mean"] == asked.null.table["survivors"].mean()


def test_no_find_in_k_permutations_is_a_bound_not_a_zero():
    assert chance_words(0.0, 0.0, 20) == "0 (in 20 permutations; at 95 %, fewer than 0.15 on average)"
    assert chance_words(1.25, 0.5, 20) == "1.25 ± 0.5" and chance_words(2.0, np.nan, 1) == "2"


def test_seeds_are_the_runs_and_the_factors_own():
    assert null_seeds(1, "A", 3) == null_seeds(1, "A", 5)[:3]
    seeds = {s for seed in (0, 1) for tf in ("A", "B") for s in null_seeds(seed, tf, 20)}
    assert len(seeds) == 80 and all(0 <= s <= 2**32 - 11 for s in seeds)


def test_published_files_do_not_change(data, asked, tmp_path):
    plain = run(QUICK, data, progress=False)
    for name, result in (("plain", plain), ("asked", asked)):
        (tmp_path / name).mkdir()
        write_run(tmp_path / name, result)
    before, after = files_of(tmp_path / "plain"), files_of(tmp_path / "asked")
    assert set(after) - set(before) == {"null_permutations.csv"}
    assert {name for name in before if before[name] != after[name]} <= {"run.json"}
    facts = json.loads(after["run.json"])["null_permutations"]
    assert facts["permutations"] == 4 and "null_permutations" not in json.loads(before["run.json"])
    back = read_run(tmp_path / "asked")
    pd.testing.assert_frame_equal(back.null.table, asked.null.table)
    assert sureness_block(back).html == sureness_block(asked).html and "4 runs with the response permuted" in sureness_block(back).html
    assert "Neither was asked for" in sureness_block(read_run(tmp_path / "plain")).html


def test_stage_5_on_the_top_genes_too(data):
    config = dataclasses.replace(QUICK, stage4_topn=True, stage4_lasso=True, null_permutations=2)
    assert null_permutations(data, config, 3, progress=False).table["selected"].le(3).all()


def test_progress_counts_permutations(data):
    seen = []
    null_permutations(data, dataclasses.replace(QUICK, null_permutations=2), 3, progress=lambda *said: seen.append(said))
    assert seen == [("null permutations", 2, 1)] * 2


def test_a_batch_adds_up_over_its_factors(data, tmp_path):
    "Run directories as a batch has them, its rows of the summary, and the sentence of the overview."
    binding, rows, tables = small_tables(240)[1], [], {}
    for k, tf in enumerate("PAB"):
        table = make_modeling_data(small_tables(240, seed=k)[0].rename(columns={"P": tf}), binding, tf)
        result = run(dataclasses.replace(QUICK, perturbed_tf=tf, null_permutations=3, inference="robust_ols"), table, progress=False)
        (tmp_path / tf).mkdir()
        write_run(tmp_path / tf, result)
        entry = dict(name=tf, state="done", reason=None, seconds=1.0, directory=tf, report=None)
        rows.append(read_findings(tmp_path, tf, entry)[0])
        tables[tf] = pd.read_csv(tmp_path / tf / "null_permutations.csv")
        assert rows[-1]["null_survivors"] == tables[tf]["survivors"].mean() and rows[-1]["n_inference"] == len(result.inference.selected)
    summary = pd.DataFrame(rows).reindex(columns=list(SUMMARY))
    assert len({tuple(t["seed"]) for t in tables.values()}) == 3
    mean, error, found, n = chance_totals(summary)
    assert n == 3 and found == summary["n_survivors"].sum() and mean == pytest.approx(sum(t["survivors"].mean() for t in tables.values()))
    assert error == pytest.approx(np.sqrt(sum(t["survivors"].var(ddof=1) / 3 for t in tables.values())))


def test_the_overview_says_the_total(tmp_path):
    batch, summary, interactors = example_batch()
    write_reports(tmp_path, batch)
    words = [write_overview(tmp_path, batch, summary, interactors).read_text()]
    ran = summary["n_survivors"].notna()
    summary.loc[ran, "null_survivors"], summary.loc[ran, "null_survivors_error"] = 0.5, 0.1
    words.append(write_overview(tmp_path, batch, summary, interactors).read_text())
    mean, found = 0.5 * ran.sum(), int(summary["n_survivors"].sum())
    assert "(--null_permutations counts them)" in words[0] and f"against {found} found" in words[1]
    assert f"{number(mean)} ± {number(0.1 * np.sqrt(ran.sum()))} survivors are expected by chance over {ran.sum()} factors" in words[1]
    assert f"false discovery rate of {number(mean / found)} ±" in words[1]
    assert chance_totals(example_batch()[1]) is None
    summary.loc[ran, ["null_survivors", "null_survivors_error"]] = 0.0
    batch["parameters"] = {**batch["parameters"], "null_permutations": 20}
    text = write_overview(tmp_path, batch, summary, interactors).read_text()
    assert f"none survived in any of {ran.sum()} factors: at 95 %, fewer than 0.15 are expected by chance, against {found} found" in text
    assert f"an empirical false discovery rate below {number(0.15 / found)}." in text and "0 ± 0" not in text


def test_stages_put_together_as_version_0_1_0_did(data, asked):
    "Copies of the 0.1.0 notebook hand thirteen values over, in order or by name: none is lost, a fourteenth is an error."
    plan = make_plan(data, asked.config)
    first = asked.config, asked.seed, data, plan, asked.all_data
    rest = dict(best=asked.best_model, topn=asked.topn, significance=None, robust=asked.robust, timings=dict(all_data=1.5))
    rest |= dict(rounds=(3, 2), inference=None, null=asked.null)
    for result in (assemble_result(*first, *rest.values()), assemble_result(*first, **rest)):
        assert result.null is asked.null and result.best_model is asked.best_model and result.topn is asked.topn
        assert result.timings == dict(all_data=1.5) and result.dropout_rounds == (3, 2) and result.robust is asked.robust
    with pytest.raises(ValueError):
        assemble_result(*first, *rest.values(), "one more")
