"""The page on the published program's command, held to its letter: its flags, defaults and ranges, its four examples in their order, its files, its log."""

import dataclasses
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tfbpmodeling.cli import main
from tfbpmodeling.config import Config
from tfbpmodeling.known_truth.simulation import SimulationConfig, simulate_interactions

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = (ROOT / "tests" / "data" / "document_commands.md").read_text(encoding="utf-8")
OURS = (ROOT / "docs" / "documents.md").read_text(encoding="utf-8")
COMMAND = "linear_perturbation_binding_modeling"
TABLES = "--response_file data/expression.csv --predictors_file data/binding.csv --perturbed_tf YPD1"
EXAMPLES = ("plain", "many bootstraps, fixed seed", "more terms", "many processors, dropout, the lasso of the last stage")


def section(name: str) -> str:
    return re.search(rf"^## {re.escape(name)}\n(.*?)(?=^## |\Z)", DOCUMENT, re.M | re.S)[1].strip()


def example(name: str) -> list[str]:
    words = section(name)
    return [COMMAND, *shlex.split(TABLES), *(shlex.split(words) if words.startswith("--") else [])]


def write_data(folder: Path) -> None:
    "Tables with the names of the page: small ones with known truth, a covariate red_median, and genes to leave out."
    folder.mkdir()
    tables = simulate_interactions(SimulationConfig(n_genes=320, n_tfs=9, n_interactors=2, n_main_effects=1, random_state=3))
    ptf = tables.perturbed_tfs[0]
    names = {ptf: "YPD1", tables.predictors.columns[-1]: "red_median"}
    tables.response.rename(columns=names).to_csv(folder / "expression.csv")
    tables.predictors.rename(columns=names).to_csv(folder / "binding.csv")
    (folder / "exclude_genes.txt").write_text("\n".join(tables.response.index[:5]) + "\n")


@pytest.fixture(scope="module")
def here(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("command_page")
    write_data(folder / "data")
    return folder


@pytest.fixture(scope="module")
def first(here) -> Path:
    "The first example as the page gives it, by python -m, with its page: the run directory."
    done = subprocess.run([sys.executable, "-m", "tfbpmodeling", *example("plain")], cwd=here, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return here / "linear_perturbation_binding_modeling_results" / "YPD1"


def test_flags_defaults_and_ranges_are_those_of_the_page():
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in section("flags and defaults").splitlines()[2:]]
    assert len(rows) == 26
    declared, values = {f.name: f for f in dataclasses.fields(Config)}, Config().to_dict()
    for name, default, usual in rows:
        shown = {None: "none", False: "off", "": ""}.get(values[name], str(values[name]))
        assert shown == default, name
        published = declared[name].metadata["published"]
        assert (f"{published[0]:g} to {published[1]:g}" if published else "") == usual, name


def test_the_files_of_the_page_are_there(first):
    assert [name for name in section("files that the page lists").splitlines() if not (first / name).exists()] == []
    assert len(list(first.glob("tfbpmodeling_*.log"))) == 1


def test_the_log_is_a_complete_execution_log(first):
    "Command line, options, versions, inputs with their hashes, all five stages with their times; no line twice."
    lines = [line.split(" ", 2)[2] for line in next(first.glob("*.log")).read_text().splitlines()]
    log, facts = "\n".join(lines), json.loads((first / "run.json").read_text())
    assert f"INFO command line: tfbpmodeling {COMMAND} {TABLES}" in lines
    assert f"INFO options that differ from the defaults: {TABLES}" in lines
    (every,) = (line for line in lines if line.startswith("INFO all options: "))
    assert all(re.search(rf"\b{name} ", every) for name in Config().to_dict())
    assert all(f"{name} {version}" in log for name, version in facts["versions"].items() if name not in ("python", "tfbpmodeling"))
    assert f"tfbpmodeling {facts['version']}, Python {facts['versions']['python']}" in lines[0]
    for given in facts["inputs"]:
        assert f"INFO input --{given['option']} {given['path']}: SHA-256 {given['sha256']}" in lines
    for number in range(1, 6):
        assert re.search(rf"^INFO stage {number} \([a-zA-Z ]+\): .+", log, re.M), f"stage {number}"
        assert re.search(rf"stage {number} \([a-zA-Z ]+\) begins", log) and re.search(rf"stage {number} \(.*\) ends, after [\d.]+ s", log)
    assert f"INFO {facts['verdict']}" in lines and len(lines) == len(set(lines)), [line for line in lines if lines.count(line) > 1]
    assert "DEBUG" not in log and "INFO 1 terms" not in log


@pytest.mark.parametrize("page", [True, False])
def test_debug_adds_blocks_penalties_and_memory(here, page):
    argv = [*example("plain"), "--output_suffix", f"_debug{page}", "--n_bootstraps", "200", "--log-level", "DEBUG", "--log-handler", "file"]
    done = subprocess.run([sys.executable, "-m", "tfbpmodeling", *argv, *([] if page else ["--no_report"])], cwd=here, capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    folder = here / "linear_perturbation_binding_modeling_results" / f"YPD1_debug{page}"
    lines = [line.split(" ", 2)[2] for line in next(folder.glob("*.log")).read_text().splitlines()]
    added = [line for line in lines if line.startswith("DEBUG ")]
    assert any(re.match(r"DEBUG 200 of 200 bootstraps after [\d.]+ s", line) for line in added)
    assert 10 <= sum("of 200 bootstraps after" in line for line in added) <= 60, "two stages, about twenty steps each"
    assert sum("DEBUG penalties from" in line for line in added) == 2 and sum("MB of memory in use" in line for line in added) == 5
    told = [line for line in lines if not line.startswith("DEBUG ")]
    assert len(told) == len(set(told))


def test_the_examples_in_their_order_meet_one_directory_and_the_error_names_the_way_out(first, here, monkeypatch, capsys):
    "The second has a folder of its own; the third and the fourth would write where the first did."
    monkeypatch.chdir(here)
    for name in EXAMPLES[2:]:
        assert main(example(name)) == 2
        said = capsys.readouterr().err
        assert "YPD1 exists" in said and "--output_suffix" in said and "--overwrite" in said and "--timestamp" in said and said.count("\n") == 1


def test_our_page_gives_the_four_examples_with_names_of_their_own():
    commands = [" ".join(block.replace("\\\n", " ").split()) for block in re.findall(r"```sh\n(.*?)```", OURS, re.S)]
    wanted = [" ".join(["tfbpmodeling", *map(shlex.quote, example(name))]) for name in EXAMPLES]
    stripped = [" ".join(map(shlex.quote, shlex.split(re.sub(r" --output_suffix _(terms|dropout)", "", c)))) for c in commands]
    assert stripped == wanted
    suffixes = [re.findall(r"--output_suffix (\S+)", c) for c in commands]
    assert suffixes == [[], ["_high_quality"], ["_terms"], ["_dropout"]]


@pytest.mark.parametrize("name, suffix", [(EXAMPLES[1], None), (EXAMPLES[2], "_terms"), (EXAMPLES[3], "_dropout")])
def test_every_example_runs_beside_the_others(first, here, monkeypatch, name, suffix, no_figures):
    "Without the page, which the first one has."
    monkeypatch.chdir(here)
    argv = [*example(name), "--no_report", *(["--output_suffix", suffix] if suffix else [])]
    assert main(argv) == 0
    folder = Path("results/YPD1_high_quality") if suffix is None else Path("linear_perturbation_binding_modeling_results") / f"YPD1{suffix}"
    facts = json.loads((folder / "run.json").read_text())
    assert facts["status"] == "done"
    if suffix is None:
        assert facts["seed"] == 42 and (folder / "all_data_significant_95-0.json").is_file() and (folder / "topn_significant_85-0.json").is_file()
    terms = json.loads((folder / "input_data" / "data_summary.json").read_text())["terms"]
    if suffix == "_terms":
        assert {"YPD1", "I(YPD1 ** 2)", "I(YPD1 ** 3)", "row_max", "red_median"} <= set(terms) and "YPD1:red_median" not in terms
        assert json.loads((folder / "input_data" / "data_summary.json").read_text())["genes_dropped"]["blacklisted"] == 5
    if suffix == "_dropout":
        assert len(pd.read_csv(folder / "all_data_results" / "bootstrap_coefficients.csv")) == 5000
        compared = json.loads((folder / "interactor_vs_main_result.json").read_text())
        assert all({"r2_lasso_model", "coef_interactor", "coef_main_effect"} <= set(row) for row in compared)


def test_a_response_table_as_the_page_draws_it_is_refused_with_its_columns(here, tmp_path, capsys):
    "The page's drawing has four samples and no column named like the perturbed factor, which its text asks for."
    shutil.copy(here / "data" / "binding.csv", tmp_path)
    table = pd.read_csv(here / "data" / "expression.csv", index_col=0)
    pd.DataFrame({f"sample{i}": table["YPD1"] for i in range(1, 5)}).to_csv(tmp_path / "expression.csv")
    files = ["--response_file", str(tmp_path / "expression.csv"), "--predictors_file", str(tmp_path / "binding.csv")]
    assert main(["check", *files, "--perturbed_tf", "YPD1"]) == 2
    said = capsys.readouterr().err
    assert all(f"sample{i}" in said for i in range(1, 5)) and "YPD1" in said


def test_the_later_name_of_a_flag_leads_to_ours(capsys):
    with pytest.raises(SystemExit):
        main([*example("plain"), "--exclude_model_variables", "red_median"])
    assert "Did you mean '--exclude_interactor_variables'?" in capsys.readouterr().err
