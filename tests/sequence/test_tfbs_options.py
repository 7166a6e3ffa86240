"""Options of tfbs: how letters get their share, a changed notebook, one seed without a spread, headers of both files."""

import json

import nbformat
import pandas as pd
import pytest

from tfbpmodeling.cli import main
from tfbpmodeling.notebook_runner import tagged
from tfbpmodeling.sequence.motifs import one_hot
from tfbpmodeling.sequence.network import WORD, planted_words

torch = pytest.importorskip("torch", reason="make test-sequence installs it")


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    data, _ = planted_words(400)
    (folder / "s.txt").write_text("sequence\n" + "\n".join(data.sequences) + "\n")
    (folder / "l.txt").write_text("label\n" + "\n".join(map(str, data.labels)) + "\n")
    rows = "\n".join(" ".join(map(str, r)) for r in (0.9 * one_hot([WORD])[0] + 0.025).T)
    other = "\n".join(["0.1 0.2 0.3 0.4"] * 8)
    (folder / "known.meme").write_text(
        f"MEME version 4\nMOTIF planted\nletter-probability matrix: w= 12\n{rows}\nMOTIF other\nletter-probability matrix: w= 8\n{other}\n"
    )
    files = ["--sequences", str(folder / "s.txt"), "--labels", str(folder / "l.txt"), "--motifs", str(folder / "known.meme")]
    return ["tfbs", *files, "--sequences_header", "--labels_header", "--n_cpus", "1", "--epochs", "12"]


def changed_copy(folder, capsys):
    path = folder / "mine.ipynb"
    assert main(["notebook", "--command", "tfbs", "--output", str(path)]) == 0
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell("print('a cell of <mine>')"))
    nbformat.write(notebook, path)
    capsys.readouterr()
    return path


def test_occlusion_one_seed_and_a_changed_notebook(tmp_path, capsys, command):
    mine = changed_copy(tmp_path, capsys)
    folder = tmp_path / "net"
    assert main([*command, "--attribution", "occlusion", "--notebook", str(mine), "--output_dir", str(folder)]) == 0
    metrics, run = (json.loads((folder / name).read_text()) for name in ("metrics.json", "run.json"))
    assert metrics["sd"] == {"auc": None, "auprc": None, "accuracy": None, "brier": None} and metrics["mean"]["auc"] > 0.9
    assert run["notebook_changed"] is True and run["parameters"]["attribution"] == "occlusion"
    assert "+print('a cell of <mine>')" in (folder / "notebook_changes.diff").read_text()
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert (
        "a cell of &lt;mine&gt;" in page
        and f"made by the notebook {mine}" in page
        and "How that notebook differs" in page
        and "Occlusion: a letter" in page
        and "DeepLIFT/SHAP shares" not in page
    )
    assert "<b>1</b>network<" in page and "networks<" not in page
    seqlets = pd.read_csv(folder / "seqlets.csv")
    assert {"attribution", "seqlet_p-value", "motif_name", "p-value"} <= set(seqlets) and (seqlets["seqlet_p-value"] < 0.01).all()
    notebook = nbformat.read(folder / "report.ipynb", as_version=4)
    assert 'attribution = "occlusion"' in notebook.cells[tagged(notebook, "injected-parameters")[0]].source


def test_mutagenesis_is_another_option(tmp_path, command):
    assert main([*command, "--attribution", "mutagenesis", "--n_seeds", "2", "--output_dir", str(tmp_path / "net")]) == 0
    page = (tmp_path / "net" / "report.html").read_text(encoding="utf-8")
    assert "Saturation mutagenesis: a letter" in page and "<b>2</b>networks<" in page
    assert json.loads((tmp_path / "net" / "metrics.json").read_text())["sd"]["auc"] >= 0
    assert not (tmp_path / "net" / "notebook_changes.diff").exists()


@pytest.mark.parametrize(
    "more, words",
    [
        (["--attribution", "occlusoin"], "Did you mean 'occlusion'"),
        (["--notebook", "none.ipynb"], "--notebook none.ipynb cannot be read"),
    ],
)
def test_wrong_use_is_one_sentence(tmp_path, capsys, command, more, words):
    assert main([*command, *more, "--output_dir", str(tmp_path / "net")]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1 and words in said[0] and not list(tmp_path.iterdir())


def test_a_notebook_of_the_main_job_is_refused(tmp_path, capsys, command):
    main(["notebook", "--output", str(tmp_path / "mine.ipynb")])
    assert main([*command, "--notebook", str(tmp_path / "mine.ipynb"), "--output_dir", str(tmp_path / "net")]) == 2
    assert "tfbpmodeling notebook --command tfbs" in capsys.readouterr().err and not (tmp_path / "net").exists()


def test_a_header_of_the_sequences_is_named_though_that_of_the_labels_was_given(tmp_path, capsys, command):
    without = [word for word in command if word != "--sequences_header"]
    assert main([*without, "--output_dir", str(tmp_path / "net")]) == 2
    said = capsys.readouterr().err
    assert "add --sequences_header" in said and "--labels_header" not in said
