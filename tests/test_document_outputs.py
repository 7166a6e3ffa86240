"""The page on the published program's output, held to its letter: what it shows how to do runs in one of our run directories."""

import json
import pickle
import re
from pathlib import Path

import joblib
import numpy as np
import pytest

from tfbpmodeling.cli import main
from tfbpmodeling.modeling_data import read_table
from tfbpmodeling.workflow import design_for

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = (ROOT / "tests" / "data" / "document_outputs.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"^## ([^\n]+)\n.*?```python\n(.*?)```", DOCUMENT, re.M | re.S))
KEYS = {name: words.split() for name, words in re.findall(r"^(bundle|compared): (.*)$", DOCUMENT, re.M)}
OUTPUT_FILES = (ROOT / "docs" / "output_files.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def run_directory(tmp_path_factory, module_without_figures) -> Path:
    "A run of the demo's tables, where interactors survive."
    folder = tmp_path_factory.mktemp("output_page")
    assert main(["simulate", "--output_dir", str(folder / "tables"), "--n_genes", "800", "--n_tfs", "20", "--random_state", "42"]) == 0
    files = ["--response_file", str(folder / "tables/response.csv"), "--predictors_file", str(folder / "tables/predictors.csv")]
    options = ["--perturbed_tf", "XAB1", "--n_bootstraps", "600", "--random_state", "42", "--output_dir", str(folder), "--no_report"]
    assert main(["linear_perturbation_binding_modeling", *files, *options]) == 0
    return folder / "XAB1"


@pytest.fixture(scope="module")
def module_without_figures():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tfbpmodeling.report.write_figures", lambda *_: None)
        yield


@pytest.fixture(scope="module")
def shown(run_directory) -> dict:
    "What the page's blocks leave behind, run in its order in the run directory."
    found = dict(np=np, pickle=pickle, json=json, joblib=joblib, design_for=design_for, read_table=read_table)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(run_directory)
        for block in BLOCKS.values():
            exec(block, found)
    return found


def test_every_block_of_the_page_has_run(shown):
    assert len(BLOCKS) == 5 and {"significant", "same", "survived", "predicted", "compared"} <= shown.keys()


def test_the_result_object_gives_what_the_page_says(shown):
    assert shown["shape"] == (600, len(shown["stage2"].terms)) and len(shown["stage2"].alpha_list) == 600
    assert list(shown["means"].index) == shown["stage2"].terms and shown["penalties"][0] > 0
    assert all(low > 0 or high < 0 for low, high in shown["significant"].values()) and shown["significant"]
    assert shown["same"], "pickle.load and our reader give the same numbers"


def test_what_survives_is_what_the_run_says(shown, run_directory):
    facts = json.loads((run_directory / "run.json").read_text())
    assert shown["survived"] and set(facts["survivors"]) <= shown["survived"]
    assert shown["kept_first"].keys() == shown["first"].keys() and shown["kept_second"].keys() == shown["second"].keys()
    for kept, extracted in (("kept_first", "first"), ("kept_second", "second")):
        assert {t: list(b) for t, b in shown[extracted].items()} == shown[kept]


def test_the_levels_begin_with_that_of_the_run(run_directory):
    for stage, level in (("all_data", "98.0"), ("topn", "90.0")):
        levels = json.loads((run_directory / f"{stage}_result_object" / "result_obj_ci.json").read_text())
        assert next(iter(levels)) == level and {"90.0", "95.0", "99.0"} <= levels.keys()


def test_the_bundle_has_the_keys_of_the_page_and_predicts(shown):
    bundle = shown["bundle"]
    assert set(KEYS["bundle"]) <= bundle.keys() and bundle["formula"] == " + ".join(bundle["feature_names"])
    assert shown["coefficients"].keys() == shown["kept_first"].keys() and bundle["drop_intercept"] is True
    assert len(shown["predicted"]) == len(shown["predictors"])
    X = design_for(bundle, shown["predictors"])
    np.testing.assert_allclose(shown["predicted"], shown["facts"][0] + X.to_numpy() @ bundle["model"].coef_, rtol=1e-12)


def test_the_comparison_has_the_fields_of_the_page_and_its_sign(shown):
    assert shown["compared"]
    for row in shown["compared"]:
        assert list(row) == KEYS["compared"]
        assert row["delta_r2"] == pytest.approx(row["avg_r2_main_effect"] - row["avg_r2_interactor"])


def test_the_code_of_our_own_page_runs_as_it_stands(run_directory, monkeypatch):
    "Reading it back, of docs/output_files.md: with its imports, and the name of this run."
    monkeypatch.chdir(run_directory.parent)
    (block,) = re.findall(r"```python\n(.*?)```", OUTPUT_FILES, re.S)
    found = {}
    exec(block.replace("results/YOR028C", str(run_directory)), found)
    assert found["run"].survivors and found["stage2"].terms == found["run"].all_data.terms
    r2 = 1 - np.var(found["run"].data.response - found["predicted"]) / np.var(found["run"].data.response)
    assert r2 == pytest.approx(found["run"].best_model.r2, abs=1e-9), "the matrix of design_for is that of the fit"
