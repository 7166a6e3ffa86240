"""Simulated activities: the covariances, the signal fraction, the motif matrix, the files."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from tfbpmodeling.activity.activity_simulation import (
    SIMULATED_NOISE,
    ActivityConfig,
    activity_covariance,
    activity_noise,
    known_activity,
    load_simulation,
    motif_matrix,
    noise_covariance,
    save_simulation,
    simulate_activities,
    simulate_activity,
)
from tfbpmodeling.config import InputError
from tfbpmodeling.known_truth.simulation import random_stream, read_truth
from tfbpmodeling.modeling_data import EXACT

SMALL = dict(n_genes=120, n_tfs=30)


def small(**options):
    return simulate_activity(ActivityConfig(**(SMALL | options)))


def r2(Y, fitted):
    return 1 - ((Y - fitted) ** 2).sum() / ((Y - Y.mean(axis=0)) ** 2).sum()


@pytest.mark.parametrize("noise", SIMULATED_NOISE)
@pytest.mark.parametrize("kind", ["identity", "freeform", "lowrank_2", "lowrank_1"])
@pytest.mark.parametrize("C", [2, 4, 9])
def test_realised_r2_is_the_option(C, kind, noise):
    for fraction in (0.05, 0.29, 0.9):
        data = small(
            n_conditions=C, activity_cov=kind, noise_cov=noise, signal_fraction=fraction, replicates=2, noise_df=5, noise_spread=0.5
        )
        for r in range(2):
            assert abs(r2(data.Y_of(r), data.params["motif"] @ data.beta_of(r)) - fraction) < 1e-10


@pytest.mark.parametrize("fraction", [0.0, 0.3, 0.7, 0.99])
@pytest.mark.parametrize("noise", SIMULATED_NOISE)
def test_share_of_the_noise_that_has_the_shape_of_v(noise, fraction):
    data = small(noise_cov=noise, noise_fraction=fraction)
    p = data.params
    share = np.trace(p["gamma"] * p["V"]) / np.trace(p["noise_cov"])
    assert share == pytest.approx(fraction if noise.endswith("V") else 0, abs=1e-14)
    assert np.allclose(p["noise_cov"], p["Sigma"] + p["gamma"] * p["V"])


def test_covariances_have_the_documented_form():
    rng = random_stream(0, "covariance")
    assert (activity_covariance("identity", 5, rng) == np.eye(5)).all()
    A = np.eye(5) + random_stream(1, "covariance").random((5, 5))
    assert np.allclose(activity_covariance("freeform", 5, random_stream(1, "covariance")), A @ A.T)
    V = activity_covariance("lowrank_2", 6, rng)
    assert V[0, 2] == pytest.approx(1, abs=0.02) and V[0, 3] == pytest.approx(-0.01, abs=0.01) and V[3, 5] == pytest.approx(1, abs=0.02)
    assert np.allclose(np.linalg.eigvalsh(V)[:4], 1e-4) and np.linalg.eigvalsh(V)[4] > 1
    a = random_stream(3, "covariance").standard_normal((4, 4))
    assert np.allclose(noise_covariance("random", np.eye(4), 0.7, random_stream(3, "covariance"))[0], a.T @ a)


def test_activities_and_noise_have_their_covariances():
    data = simulate_activity(ActivityConfig(n_genes=300, n_tfs=4000, activity_cov="freeform"))
    assert np.allclose(np.cov(data.beta_of(0).T), data.V_of(0), atol=0.1 * data.V_of(0).max())
    sigma = np.array([[2.0, 0.9], [0.9, 1.0]])
    for df, spread in ((None, 0.0), (6.0, 0.0), (None, 0.7), (8.0, 0.3)):
        noise = activity_noise(60000, sigma, random_stream(0, "noise"), df, spread)
        assert np.allclose(np.cov(noise.T), sigma, atol=0.15) and np.abs(noise.mean(axis=0)).max() < 1e-12
        kurtosis = (noise[:, 0] ** 4).mean() / (noise[:, 0] ** 2).mean() ** 2
        assert (kurtosis > 3.5) == (df is not None or spread > 0)


def test_sparse_truth():
    data = small(n_active=4, replicates=3)
    for r in range(3):
        assert (np.abs(data.beta_of(r)).sum(axis=1) > 0).sum() == 4


def test_motif_columns_are_distinct_and_scaled(tmp_path):
    for look in ("uniform", "binding"):
        table = motif_matrix(ActivityConfig(n_genes=150, n_tfs=60, motifs=look))
        assert table.shape == (150, 60) and not table.T.duplicated().any()
        assert (table.min() == 0).all() and (table.max() == 1).all() and table.columns.is_unique
    sparse = motif_matrix(ActivityConfig(n_genes=500, n_tfs=40, motifs="binding"))
    assert (sparse.median() < 0.2).all() and sparse.skew().median() > 1
    assert motif_matrix(ActivityConfig(n_genes=50, n_tfs=950, motifs="binding")).shape == (50, 950)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_motifs_from_a_table(tmp_path, ending):
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.random((80, 12)), [f"g{i}" for i in range(80)], [f"m{i}" for i in range(12)])
    table["copy"], table["flat"] = table["m3"], 1.0
    path = tmp_path / f"motifs.{ending}"
    table.rename_axis("gene").to_csv(path) if ending == "csv" else table.rename_axis("gene").to_parquet(path)
    drawn = motif_matrix(ActivityConfig(n_genes=50, n_tfs=12, motif_file=str(path)))
    assert set(drawn.columns) <= set(table.columns) - {"flat"} and not {"m3", "copy"} <= set(drawn.columns)
    assert drawn.index.is_unique and set(drawn.index) <= set(table.index) and not drawn.T.duplicated().any()
    column = table.loc[drawn.index, "m5"]
    assert np.allclose(drawn["m5"], (column - column.min()) / (column.max() - column.min()))
    more = motif_matrix(ActivityConfig(n_genes=200, n_tfs=5, motif_file=str(path)))
    assert more.shape == (200, 5) and more.index.is_unique
    with pytest.raises(InputError, match="12 distinct columns"):
        motif_matrix(ActivityConfig(n_genes=50, n_tfs=13, motif_file=str(path)))


def test_same_seed_same_data_and_replicates_stand_alone():
    one, two = small(replicates=3), small(replicates=3)
    assert one.Y.equals(two.Y) and one.beta.equals(two.beta)
    assert (small(replicates=1).Y[0] == one.Y[0]).all() and not (one.Y[0] == one.Y[1]).any()
    other = small(random_state=1)
    assert not (other.Y[0] == one.Y[0]).any() and not (other.params["V"] == one.params["V"]).all()
    fraction = small(signal_fraction=0.5)
    assert (fraction.params["motif"] == one.params["motif"]).all() and (fraction.params["V"] == one.params["V"]).all()


def test_layout_is_column_major():
    data = small(replicates=2, n_conditions=3)
    assert data.Y.shape == (360, 2) and data.beta.shape == (90, 2) and {"V", "G", "C", "motif"} <= set(data.params)
    assert (data.Y_of(1)[:, 2] == data.Y.loc[240:, 1]).all() and (data.beta_of(1)[5] == data.beta.loc[[5, 35, 65], 1]).all()
    response, predictors = data.to_frames(1)
    assert (response.to_numpy() == data.Y_of(1)).all() and (predictors.to_numpy() == data.params["motif"]).all()
    assert response.index.equals(predictors.index) and response.shape[1] == 3


def test_files_hold_everything(tmp_path):
    data = small(replicates=2, signal_fraction=0.29, n_active=7, noise_cov="identityV")
    path = save_simulation(data, tmp_path / "a", tables=1)
    assert path.name == "activity_C_4_G_120_TF_30_V_freeform_rep_2_Sigma_identityV_70_frac_29_active_7_seed_42.npz"
    for back in (load_simulation(path), load_simulation(path.with_suffix(".json"))):
        assert back.Y.equals(data.Y) and back.beta.equals(data.beta) and back.name == data.name
        assert all(np.array_equal(back.params[k], data.params[k]) for k in ("V", "Sigma", "noise_cov", "motif", "scale", "gamma", "tfs"))
        assert simulate_activity(ActivityConfig(**back.params["options"])).Y.equals(data.Y)
    folder = path.with_suffix("")
    response = pd.read_csv(folder / "response.csv", index_col=0, **EXACT)
    assert (response.to_numpy() == data.Y_of(1)).all()
    truth = known_activity(folder / "response.csv")
    assert np.allclose(truth["activity"], data.beta_of(1)) and np.allclose(truth["activity_cov"], data.V_of(1))
    with pytest.raises(InputError):
        read_truth(folder)  # no truth of the interactions model
    again = save_simulation(data, tmp_path / "b", tables=1)
    assert again.read_bytes() == path.read_bytes()
    with pytest.raises(InputError, match="exists"):
        save_simulation(data, tmp_path / "a")
    save_simulation(data, tmp_path / "a", overwrite=True)


def test_names_round_and_never_collide():
    names = [small(signal_fraction=f).name for f in (0.29, 0.2, 0.205, 0.28)]
    assert "_frac_29_" in names[0] and "_frac_20.5_" in names[2] and len(set(names)) == 4


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b'{"version": 1}'])
def test_load_refuses_what_it_did_not_write(tmp_path, content):
    with pytest.raises(InputError, match="cannot be read"):
        load_simulation(tmp_path / "x.npz")
    path = save_simulation(small(), tmp_path, tables=None)
    path.write_bytes(content)
    with pytest.raises(InputError):
        load_simulation(path)
    (tmp_path / "truth.json").write_bytes(content)
    assert known_activity(tmp_path / "response.csv") is None


def test_document_stands_for_the_four_of_regnet():
    assert ActivityConfig(n_conditions=8, activity_cov="document").activity_cov == ("identity", "freeform", "lowrank_2", "lowrank_4")
    assert ActivityConfig(n_conditions=4, activity_cov="document,lowrank_3").activity_cov == (
        "identity",
        "freeform",
        "lowrank_2",
        "lowrank_3",
    )
    assert ActivityConfig(n_conditions=1, activity_cov="document").activity_cov == ("identity", "freeform")
    sets = simulate_activities(ActivityConfig(**SMALL, activity_cov="document"))
    assert [s.params["options"]["activity_cov"][0] for s in sets] == ["identity", "freeform", "lowrank_2"]
    assert len({s.name for s in sets}) == 3


@pytest.mark.parametrize(
    "options, says",
    [
        (dict(activity_cov="freefrom"), "Did you mean 'freeform'"),
        (dict(activity_cov="lowrank_5"), "lowrank_1 to lowrank_4"),
        (dict(activity_cov="lowrank_x"), "--activity_cov lowrank_x"),
        (dict(activity_cov=()), "empty"),
        (dict(noise_cov="v"), "choose one of identity, random"),
        (dict(noise_fraction=1), "--noise_fraction 1"),
        (dict(signal_fraction=0), "ends excluded"),
        (dict(n_active=31, n_tfs=30), "at most --n_tfs"),
        (dict(noise_df=2), "--noise_df 2"),
        (dict(n_conditions=0), "--n_conditions 0"),
        (dict(motifs="x"), "--motifs x"),
    ],
)
def test_impossible_options_are_refused(options, says):
    with pytest.raises(InputError) as error:
        ActivityConfig(**options)
    assert says in str(error.value) and "\n" not in str(error.value)


def test_a_motif_table_with_gaps_is_refused(tmp_path):
    (tmp_path / "m.csv").write_text("gene,a,b\ng1,1,\ng2,2,3\n")
    with pytest.raises(InputError, match="missing"):
        motif_matrix(ActivityConfig(n_genes=10, n_tfs=1, motif_file=str(tmp_path / "m.csv")))


def test_options_survive_json():
    config = ActivityConfig(n_active=3, activity_cov="document")
    assert ActivityConfig(**json.loads(json.dumps(dataclasses.asdict(config)))) == config
