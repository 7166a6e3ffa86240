"""The examples of regNet's README: its words for options, its reading of a stored data set, its two steps (simulate, then fit).

tests/data/regnet_readme.md says in our own words what that page shows; the snippets in it run here.
"""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tfbpmodeling.activity.activity_report import motif_activity_to_directory
from tfbpmodeling.activity.activity_result import MotifActivityConfig, load_activity_tables
from tfbpmodeling.activity.activity_simulation import ActivityConfig, load_simulation, save_simulation, simulate_activity
from tfbpmodeling.activity.motif_activity import candidates, fit_covariances, rotate
from tfbpmodeling.cli import main
from tfbpmodeling.config import InputError

DOCUMENT = (Path(__file__).parent / "data" / "regnet_readme.md").read_text(encoding="utf-8")
SMALL = "--n_genes 60 --n_tfs 12".split()


def blocks(kind: str) -> list[str]:
    "The examples of one language, in their order."
    return re.findall(rf"```{kind}\n(.*?)```", DOCUMENT, re.S)


def commands() -> list[list[str]]:
    "The words of every command of the document, on one line each."
    lines = "\n".join(blocks("sh")).replace("\\\n", " ").splitlines()
    return [line.split()[1:] for line in lines if line.startswith("tfbpmodeling ")]


def in_small(words: list[str]) -> list[str]:
    "A command of the document with fewer genes and factors, so that it takes a moment."
    sizes = {"--n_genes": "60", "--n_tfs": "12", "--replicates": "2"}
    return [sizes.get(before, word).replace("G_978_TF_623", "G_60_TF_12") for before, word in zip(["", *words], words)]


def test_every_command_of_the_document_runs_in_its_order(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert len(commands()) >= 3
    for words in commands():
        assert main([*in_small(words), *(["--no_report"] if words[0] == "motif_activity" else [])]) == 0, " ".join(words)
    assert "Traceback" not in capsys.readouterr().err


def test_the_snippet_reads_what_the_command_wrote(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(in_small(commands()[0])) == 0
    (snippet,) = blocks("python")
    found = {}
    exec(snippet.replace("G_978_TF_623", "G_60_TF_12"), found)
    Y, beta, parameter = found["Y"], found["beta"], found["parameter"]
    assert isinstance(Y, pd.DataFrame) and isinstance(beta, pd.DataFrame) and Y.shape == (60 * 4, 2) and beta.shape == (12 * 4, 2)
    assert list(Y.columns) == [0, 1] and found["Y_i"].shape == (60, 4) and found["beta_i"].shape == (12, 4)
    assert found["V"].shape == (4, 4) and np.array_equal(parameter.V, parameter["V"]) and found["motif"].shape == (60, 12)
    data = load_simulation(next(Path("tables").glob("*_V_lowrank_2_*.npz")))
    assert np.array_equal(found["Y_i"], data.Y_of(0)) and np.array_equal(found["beta_i"], data.beta_of(0))
    rest = found["Y_i"] - found["motif"] @ found["beta_i"]
    centred = found["Y_i"] - found["Y_i"].mean(axis=0)
    assert 1 - (rest**2).sum() / (centred**2).sum() == pytest.approx(0.2, abs=1e-10)  # the fraction of its name


def test_four_kinds_are_made_as_the_document_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(in_small([*commands()[0], "--n_conditions", "8"])) == 0
    kinds = {re.search("_V_(.*)_rep_", p.name)[1] for p in Path("tables").glob("*.npz")}
    assert kinds == {"identity", "freeform", "lowrank_2", "lowrank_4"}


@pytest.mark.parametrize("word, name", [("random", "freeform"), ("id", "identity"), ("diag", "diagonal")])
def test_the_words_of_the_document_name_structures(word, name):
    assert MotifActivityConfig(noise_cov=word).noise_cov == name and MotifActivityConfig(activity_cov=word).activity_cov == name
    assert candidates(word, word, 4, "mixed") == candidates(name, name, 4, "mixed")
    data = simulate_activity(ActivityConfig(n_genes=60, n_tfs=12))
    rotated = rotate(data.Y_of(0), data.parameter.motif)
    one, other = fit_covariances(rotated, word, word), fit_covariances(rotated, name, name)
    assert (one.activity_cov, one.noise_cov) == (name, name) and one.log_likelihood == other.log_likelihood


@pytest.mark.parametrize("word, name", [("id", "identity"), ("identity", "identity"), ("random", "random"), ("randomV", "randomV")])
def test_the_words_of_the_document_name_noise(word, name):
    assert ActivityConfig(noise_cov=word).noise_cov == name


def test_an_unknown_parameter_says_which_there_are():
    data = simulate_activity(ActivityConfig(n_genes=60, n_tfs=12))
    with pytest.raises(AttributeError, match="no parameter 'sigma': there are G, T, C"):
        print(data.parameter.sigma)


# ---- all replicates ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    "Three replicates in files."
    data = simulate_activity(ActivityConfig(n_genes=60, n_tfs=12, replicates=3, signal_fraction=0.5))
    return data, save_simulation(data, tmp_path_factory.mktemp("replicates"))


def test_tables_of_every_replicate_are_written(stored):
    data, path = stored
    folder = path.with_suffix("")
    assert sorted(p.name for p in folder.glob("replicate_*")) == ["replicate_0", "replicate_1", "replicate_2"]
    for r in range(3):
        config = MotifActivityConfig(
            response_file=str(folder / f"replicate_{r}" / "response.csv"), predictors_file=str(folder / "predictors.csv")
        )
        tables = load_activity_tables(config)
        assert np.array_equal(tables.response.to_numpy(), data.Y_of(r))
    assert (folder / "response.csv").read_bytes() == (folder / "replicate_0" / "response.csv").read_bytes()


def test_a_single_replicate_needs_no_folder_of_its_own(tmp_path):
    path = save_simulation(simulate_activity(ActivityConfig(n_genes=60, n_tfs=12)), tmp_path)
    assert sorted(p.name for p in path.with_suffix("").iterdir()) == ["predictors.csv", "response.csv", "truth.json"]


@pytest.mark.parametrize("replicate", [0, 2])
def test_the_npz_and_the_tables_give_the_same_result(tmp_path, stored, replicate, monkeypatch):
    monkeypatch.setattr("tfbpmodeling.activity.activity_report.activity_figures", lambda result: [])
    _, path = stored
    folder = path.with_suffix("")
    given = dict(response_file=str(folder / f"replicate_{replicate}" / "response.csv"), predictors_file=str(folder / "predictors.csv"))
    one, facts = motif_activity_to_directory(MotifActivityConfig(**given, output_dir=str(tmp_path / "csv"), no_report=True))
    given = dict(response_file=str(path), predictors_file=str(path), replicate=replicate)
    other, same = motif_activity_to_directory(MotifActivityConfig(**given, output_dir=str(tmp_path / "npz"), no_report=True))
    assert (one / "activity.csv").read_bytes() == (other / "activity.csv").read_bytes()
    assert facts["truth"] == same["truth"] is not None and [i["option"] for i in same["inputs"]] == ["response_file", "predictors_file"]


@pytest.mark.parametrize(
    "files, replicate, says",
    [
        (("npz", "npz"), "3", "--replicate 3: .* has 3 replicates, counted from 0"),
        (("csv", "csv"), "1", "--replicate 1 chooses from the .npz"),
        (("npz", "npz"), "-1", "--replicate -1"),
        (("csv", "npz"), "7", "--replicate 7"),
    ],
)
def test_a_replicate_that_is_not_there_is_one_sentence(tmp_path, stored, capsys, files, replicate, says):
    _, path = stored
    names = {"npz": (str(path), str(path)), "csv": tuple(str(path.with_suffix("") / f"{n}.csv") for n in ("response", "predictors"))}
    given = ["--response_file", names[files[0]][0], "--predictors_file", names[files[1]][1], "--replicate", replicate]
    assert main(["motif_activity", *given, "--output_dir", str(tmp_path / "out"), "--no_report"]) == 2
    err = capsys.readouterr().err
    assert re.search(says, err) and "Traceback" not in err and not list(tmp_path.iterdir())


def test_an_npz_without_its_json_or_of_another_size_is_one_sentence(tmp_path, stored):
    _, path = stored
    copy = tmp_path / path.name
    copy.write_bytes(path.read_bytes())
    with pytest.raises(InputError, match=r"with its \.json in the same folder"):
        load_activity_tables(MotifActivityConfig(response_file=str(copy), predictors_file=str(copy)))
    facts = json.loads(path.with_suffix(".json").read_text())
    for change in (dict(G=59), dict(tfs=["A"]), dict(C="4"), dict(genes=None), dict(tfs=["A"] * 12), dict(tfs=list(range(12)))):
        copy.with_suffix(".json").write_text(json.dumps(facts | change))
        with pytest.raises(InputError, match="not a data set"):
            load_simulation(copy)


def test_processes_change_no_number(tmp_path):
    words = ["simulate", "--model", "activity", "--activity_cov", "document", "--replicates", "2", *SMALL]
    for cpus in ("1", "2"):
        assert main([*words, "--n_cpus", cpus, "--output_dir", str(tmp_path / cpus)]) == 0
    files = sorted(p.relative_to(tmp_path / "1") for p in (tmp_path / "1").rglob("*") if p.is_file())
    assert len(files) == 3 * (2 + 3 + 4)
    assert all((tmp_path / "1" / f).read_bytes() == (tmp_path / "2" / f).read_bytes() for f in files)


def test_simulate_refuses_no_process(tmp_path, capsys):
    for model in ("activity", "interactions"):
        assert main(["simulate", "--model", model, "--n_cpus", "0", "--output_dir", str(tmp_path / "x")]) == 2
        assert "--n_cpus 0" in capsys.readouterr().err and not (tmp_path / "x").exists()
