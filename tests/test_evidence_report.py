"Evidence over all factors: from files to a folder with a page."

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tfbpmodeling.config import InputError
from tfbpmodeling.evidence.evidence import evidence
from tfbpmodeling.evidence.evidence_figures import bound_means, evidence_figures, permuted_pairs
from tfbpmodeling.evidence.evidence_report import direction, evidence_to_directory, evidence_verdict
from tfbpmodeling.evidence.evidence_tables import EvidenceConfig, EvidenceTables, experiment_files, load_evidence_tables, pushes
from tfbpmodeling.known_truth.simulation import example_experiments

PUSH = {"deletion": "down", "overexpression": "up"}


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("experiments")
    experiments, binding = example_experiments()
    for name, table in (experiments | {"binding": binding}).items():
        table.to_csv(folder / f"{name}.csv")
    pd.DataFrame({"name": [f"Name{c}" for c in binding.columns]}, index=pd.Index(binding.columns, name="id")).to_csv(folder / "names.csv")
    return folder


def config(files: Path, out: Path | str, **more) -> EvidenceConfig:
    given = tuple(f"{name}={files / name}.csv" for name in PUSH)
    push = tuple(f"{name}={p}" for name, p in PUSH.items())
    about = dict(experiment=given, push=push, predictors_file=str(files / "binding.csv"), output_dir=str(out), permutations=5)
    return EvidenceConfig(**about | more)


@pytest.fixture(scope="module")
def done(files, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("out") / "evidence"
    evidence_to_directory(config(files, out, gene_names=str(files / "names.csv")))
    return out


def test_folder_has_the_stated_files_and_columns(done):
    for name in ("interactions.csv", "main_effects.csv", "chance.csv", "genes.csv", "groups.csv", "evidence.html", "report.ipynb", "run.json"):
        assert (done / name).stat().st_size > 0, name
    pairs = pd.read_csv(done / "interactions.csv")
    per = [f"{what}_{e}" for e in PUSH for what in ("effect", "se", "t", "dof")]
    first = ["perturbed_tf", "factor", "group", "lead", "n_genes"]
    last = ["z", "p", "q_bh", "q_two_level", "q_permutation", "q", "selected", "partial_conjunction", "top5_share", "stands_without_top_gene", "kind"]
    assert list(pairs.columns) == first + per + last
    assert {"perturbed_tf", "set", "lead", "members", "log_bf", "size", "common_programme"} <= set(pd.read_csv(done / "main_effects.csv").columns)


def test_the_planted_pairs_are_found_and_nothing_else(done):
    pairs = pd.read_csv(done / "interactions.csv")
    selected = pairs[pairs["selected"]]
    assert set(zip(selected["perturbed_tf"], selected["factor"])) == {("P1", "A"), ("P2", "A")}
    assert (selected["z"] > 0).all() and (selected["effect_deletion"] < 0).all() and (selected["effect_overexpression"] > 0).all()
    sets = pd.read_csv(done / "main_effects.csv")
    assert sets.loc[sets["lead"] == "H", "common_programme"].all() and (sets["lead"] == "H").sum() == 8


def test_page_says_what_was_found_and_what_chance_finds_first(done):
    page = (done / "evidence.html").read_text()
    facts = json.loads((done / "run.json").read_text())
    assert facts["status"] == "done" and facts["command"] == "evidence" and facts["counts"]["n_selected"] == 2
    text = re.sub(r"<[^>]+>", " ", re.sub(r"<(style|script).*?</\1>", "", page, flags=re.S))
    assert text.index("2 interactions in 2 groups") < text.index("NameP2:NameA") < text.index("More than chance?")
    assert "the same rule finds" in text and "too few bound genes" not in text
    assert not re.search(r"(src|href)=[\"']https?:", page)


def test_the_answer_is_that_of_the_function_on_tables_in_memory(done):
    experiments, binding = example_experiments()
    result = evidence(experiments, binding, push=PUSH, permutations=5)
    written = pd.read_csv(done / "interactions.csv")
    assert written["factor"].tolist() == result.interactions["factor"].tolist()
    np.testing.assert_allclose(written["z"], result.interactions["z"], rtol=1e-9)


def test_means_are_those_of_the_four_groups_of_genes():
    experiments, binding = example_experiments()
    tables = EvidenceTables(experiments, binding, ("P1",), {}, {}, ())
    table = bound_means(tables, "P1", "A").set_index(["experiment", "bound_by"])
    y, p, a = experiments["deletion"]["P1"], binding["P1"] > 0, binding["A"] > 0
    for kind, at in {"both": p & a, "ptf": p & ~a, "factor": ~p & a, "neither": ~p & ~a}.items():
        row = table.loc[("deletion", kind)]
        assert row["n"] == at.sum() and np.isclose(row["mean"], y[at].mean()) and np.isclose(row["se"], y[at].std() / np.sqrt(at.sum()))


def test_the_permuted_picture_keeps_the_pairs_and_breaks_the_link():
    experiments, binding = example_experiments()
    tables = EvidenceTables(experiments, binding, tuple(experiments["deletion"].columns), {}, {}, ())
    result = evidence(experiments, binding, push=PUSH, permutations=2)
    permuted = permuted_pairs(result, tables, 42)
    pair = lambda t: set(zip(t["perturbed_tf"], t["factor"]))  # noqa: E731
    assert pair(permuted) == pair(result.interactions)
    assert permuted["z"].abs().max() < result.interactions["z"].abs().max() / 2


def test_nothing_found_has_a_page_and_a_sentence(files, tmp_path):
    experiments, binding = example_experiments(interaction=0.0)
    for name, table in (experiments | {"binding": binding}).items():
        table.to_csv(tmp_path / f"{name}.csv")
    folder, facts = evidence_to_directory(config(tmp_path, tmp_path / "out"))
    assert facts["verdict"].startswith("No interaction was found among") and facts["counts"]["n_selected"] == 0
    assert "No interaction was found" in (folder / "evidence.html").read_text()


def test_one_experiment_and_a_factor_that_one_experiment_lacks(files, tmp_path):
    experiments, binding = example_experiments()
    short = {"deletion": experiments["deletion"].iloc[:300], "overexpression": experiments["overexpression"][["P1", "P2", "P3"]]}
    result = evidence(short, binding, push=PUSH, permutations=3)
    tables = EvidenceTables(short, binding, tuple(experiments["deletion"].columns), {}, {}, ())
    assert set(result.interactions["perturbed_tf"]) == set(experiments["deletion"].columns)
    alone = result.interactions[result.interactions["perturbed_tf"] == "P8"]
    assert alone["t_overexpression"].isna().all() and alone["t_deletion"].notna().all()
    assert {f.name for f in evidence_figures(result, tables)} >= {"chance", "experiments"}
    one = evidence({"deletion": experiments["deletion"]}, binding, permutations=3)
    tables = EvidenceTables({"deletion": experiments["deletion"]}, binding, tables.perturbed_tfs, {}, {}, ())
    for figure in evidence_figures(one, tables):
        assert figure.png[:4] == b"\x89PNG"
    assert "on average" in evidence_verdict(one)
    assert direction(one, one.interactions.iloc[0].to_dict()).endswith("in deletion where both bind")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (dict(experiment=(), push=()), "--experiment is missing"),
        (dict(experiment=("deletion",)), "--experiment deletion: give a name and a file"),
        (dict(experiment=("a=x.csv", "a=y.csv")), "there is an experiment a already"),
        (dict(experiment=("a b=x.csv",)), "letters, digits"),
        (dict(push=("knockout=down",)), "there is no experiment 'knockout'"),
        (dict(push=("deletion=left",)), "choose one of up, down, either"),
        (dict(perturbed_tfs="P1,P99"), "--perturbed_tfs: P99 has no response"),
        (dict(predictors_file="nowhere.csv"), "nowhere.csv does not exist"),
        (dict(q=0), "--q 0"),
        (dict(permutations=0), "--permutations 0"),
        (dict(output_dir=""), "--output_dir is empty"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence_and_leaves_nothing(files, tmp_path, change, words):
    with pytest.raises(InputError, match=re.escape(words)):
        evidence_to_directory(config(files, tmp_path / "out", **change))
    assert list(tmp_path.iterdir()) == []


def test_factors_are_accepted_by_name(files):
    tables = load_evidence_tables(config(files, "out", perturbed_tfs="NameP1,P2", gene_names=str(files / "names.csv")))
    assert tables.perturbed_tfs == ("P1", "P2")


def test_columns_without_binding_and_missing_values_are_counted(files, tmp_path):
    experiments, binding = example_experiments()
    experiments["deletion"]["stranger"] = 1.0
    experiments["deletion"].iloc[3, 0] = np.nan
    for name, table in (experiments | {"binding": binding}).items():
        table.to_csv(tmp_path / f"{name}.csv")
    tables = load_evidence_tables(config(tmp_path, "out"))
    assert tables.dropped["deletion"]["missing values"] == 1 and "stranger" in tables.warnings[0]
    with pytest.raises(InputError, match="missing"):
        load_evidence_tables(config(tmp_path, "out", missing="error"))


def test_command_takes_an_experiment_at_a_time(files, tmp_path):
    words = [sys.executable, "-m", "tfbpmodeling", "evidence", "--predictors_file", files / "binding.csv", "--no_report", "--permutations", "2"]
    words += ["--push", "deletion=down,overexpression=up", "--output_dir", tmp_path / "out"]
    for name in PUSH:
        words += ["--experiment", f"{name}={files / name}.csv"]
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "No interaction was found" in done.stdout  # two permutations cannot show so small a rate, and the log says so
    assert "2 permutations: no list of fewer than 5 pairs can reach a rate of 0.1; ask for 10 or more" in done.stderr
    assert "deletion: 400 genes in use" in done.stderr
    again = subprocess.run(list(map(str, words)), capture_output=True, text=True)
    assert again.returncode == 2 and "exists" in again.stderr


def test_options_read_both_lists():
    given = EvidenceConfig(experiment="a=x.csv,b=y.csv", push="b=up")
    assert experiment_files(given) == {"a": "x.csv", "b": "y.csv"} and pushes(given) == {"a": "either", "b": "up"}


def test_real_tables_find_partners_that_are_known(shared):
    place = shared / "data" / "yeast"
    read = lambda name: pd.read_csv(place / name, index_col=0)  # noqa: E731
    names = dict(pd.read_csv(place / "gene_names.csv").iloc[:, :2].to_numpy())
    experiments = {"deletion": read("response_tfko.csv.gz"), "overexpression": read("response_overexpression.csv.gz")}
    wanted = [tf for tf, name in names.items() if name in ("MSN2", "SUM1", "RTG3")]
    result = evidence(experiments, read("binding.csv.gz"), push=PUSH, perturbed_tfs=wanted, permutations=2)
    best = result.interactions.groupby("perturbed_tf").first()["factor"].map(names)
    assert best[next(tf for tf, name in names.items() if name == "MSN2")] == "ADR1"
