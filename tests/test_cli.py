"""The command: exit statuses, bad input, names that look like code, and identical numbers however it is run."""

import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from examples import files_of, small_tables, write_tables

from tfbpmodeling.artifacts import read_run, slug
from tfbpmodeling.cli import COMMANDS, main
from tfbpmodeling.config import Config

RUN = "linear_perturbation_binding_modeling"
QUICK = ["--n_bootstraps", "20", "--random_state", "1", "--top_n", "100", "--n_cpus", "1", "--no_report"]


@pytest.fixture
def tables(tmp_path):
    "Options that name two good tables."
    return write_tables(tmp_path, *small_tables())


def refusal(capsys, folder: Path, argv: list[str]) -> str:
    "Run a command that must be refused: status 2, one sentence, nothing left behind."
    before = sorted(folder.rglob("*"))
    try:
        status = main(argv)
    except SystemExit as e:
        status = e.code
    said = [line for line in capsys.readouterr().err.splitlines() if "error:" in line]
    assert status == 2 and len(said) == 1 and "Traceback" not in said[0], said
    assert sorted(folder.rglob("*")) == before
    return said[0]


def test_a_run_makes_a_whole_directory(tmp_path, tables, capsys):
    assert main([RUN, *tables, "--perturbed_tf", "P", "--output_dir", str(tmp_path / "out"), *QUICK]) == 0
    folder = tmp_path / "out" / "P"
    assert "results:" in capsys.readouterr().out and [p.name for p in (tmp_path / "out").iterdir()] == ["P"]
    expected = """run.json all_data_result_object/result_obj_ci.json all_data_result_object/result_obj_coefs_alphas.pkl
        topn_result_object/result_obj_ci.json topn_result_object/result_obj_coefs_alphas.pkl all_data_significant_98-0.json
        topn_significant_90-0.json best_all_data_model.pkl best_all_data_model.json interactor_vs_main_result.json
        all_data_results/bootstrap_coefficients.csv all_data_results/confidence_intervals.csv all_data_results/model_statistics.csv
        all_data_results/feature_importance.csv topn_results/bootstrap_coefficients.csv topn_results/confidence_intervals.csv
        topn_results/model_statistics.csv topn_results/feature_importance.csv interactor_significance/significance_results.csv
        interactor_significance/comparison_statistics.csv interactor_significance/final_selection.csv
        input_data/processed_response.csv input_data/processed_predictors.csv input_data/bootstrap_indices.csv
        input_data/data_summary.json""".split()
    assert set(expected) <= set(files_of(folder)) and len(list(folder.glob("tfbpmodeling_*.log"))) == 1
    assert list((folder / "all_data_results" / "diagnostic_plots").glob("*.png")) and list(
        (folder / "interactor_significance").rglob("*.svg")
    )
    run = json.loads((folder / "run.json").read_text())
    assert run["status"] == "done" and run["seed"] == 1 and len(run["inputs"]) == 2 and run["not_written"] == []
    log = next(folder.glob("*.log")).read_text()
    assert "160 genes in use" in log and "stage 4" in log


def test_nothing_significant_is_a_result(tmp_path, capsys, no_figures):
    response, predictors = small_tables()
    response["P"] = np.random.RandomState(3).normal(size=len(response))
    tables = write_tables(tmp_path, response, predictors)
    assert main([RUN, *tables, "--perturbed_tf", "P", "--output_dir", str(tmp_path / "out"), *QUICK, "--all_data_ci_level", "99.9"]) == 0
    folder = tmp_path / "out" / "P"
    run = json.loads((folder / "run.json").read_text())
    assert run["status"] == "done" and run["outcomes"]["all_data"] == "nothing significant"
    assert set(run["not_written"]) == {"topn_result_object/result_obj_coefs_alphas.pkl", "best_all_data_model.pkl"}
    assert (
        json.loads((folder / "topn_significant_90-0.json").read_text())
        == {}
        == json.loads((folder / "all_data_significant_99-9.json").read_text())
    )
    assert json.loads((folder / "interactor_vs_main_result.json").read_text()) == []
    assert pd.read_csv(folder / "topn_results" / "confidence_intervals.csv").columns[0] == "term"
    assert read_run(folder).verdict.startswith("No term")


def test_an_existing_directory_is_refused_and_overwrite_replaces_it(tmp_path, tables, capsys, no_figures):
    argv = [RUN, *tables, "--perturbed_tf", "P", "--output_dir", str(tmp_path / "out"), *QUICK]
    assert main(argv) == 0
    before = files_of(tmp_path / "out")
    assert "--timestamp" in refusal(capsys, tmp_path, argv)
    assert files_of(tmp_path / "out") == before
    assert main([*argv, "--overwrite", "--n_bootstraps", "21"]) == 0
    assert read_run(tmp_path / "out" / "P").config.n_bootstraps == 21
    assert main([*argv, "--timestamp", "--output_suffix", "_x"]) == 0
    assert any(p.name.startswith("P_x_2") for p in (tmp_path / "out").iterdir())


def test_overwrite_never_replaces_a_folder_that_is_no_run(tmp_path, tables, capsys, no_figures):
    precious = tmp_path / "out" / "P" / "thesis.txt"
    precious.parent.mkdir(parents=True)
    precious.write_text("years")
    message = refusal(capsys, tmp_path, [RUN, *tables, "--perturbed_tf", "P", "--output_dir", str(tmp_path / "out"), *QUICK, "--overwrite"])
    assert "not a run directory" in message and precious.read_text() == "years"


def test_check_says_what_a_run_would_model(tmp_path, tables, capsys):
    assert main(["check", *tables, "--perturbed_tf", "P", "--top_n", "50", "--row_max"]) == 0
    printed = dict(re.split(r"  +", line, maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert printed["genes in use"] == "160" and printed["genes of the top N"] == "50" and printed["genes in each stratum"].startswith("8, ")
    assert printed["terms of the model"] == "6" and printed["the terms"] == "P:A, P:B, P:C, P:D, P:hot, row_max"
    assert "too few" not in printed.get("warning", "")
    assert not (tmp_path / "linear_perturbation_binding_modeling_results").exists()


def change(tables: list[str], option: str, value: str) -> list[str]:
    at = tables.index(option)
    return [*tables[: at + 1], value, *tables[at + 2 :]]


BAD_OPTIONS = [
    (["--n_bootstraps", "0"], "at least 1"),
    (["--n_bootstraps", "ten"], "whole number"),
    (["--top_n", "0"], "at least 1"),
    (["--top_n", "3"], "too few"),
    (["--all_data_ci_level", "0"], "between 0 and 100"),
    (["--topn_ci_level", "100"], "between 0 and 100"),
    (["--stabilization_ci_start", "-5"], "between 0 and 100"),
    (["--bins", "0,12,8,inf"], "increasing"),
    (["--bins", "0,a,inf"], "not a number"),
    (["--bins", "0"], "at least two"),
    (["--bins", "1,8,np.inf"], "first edge 1"),
    (["--bins", "0,8,12"], "last edge 12"),
    (["--random_state", "-1"], "from 0"),
    (["--n_cpus", "0"], "at least 1"),
    (["--max_iter", "0"], "at least 1"),
    (["--exclude_interactor_variables", "exclude_all"], "no term is left"),
    (["--exclude_interactor_variables", "a"], "Did you mean 'A'"),
    (["--add_model_variables", "Z9"], "--add_model_variables"),
    (["--add_model_variables", "A,P:A + os.system('x')"], "neither a predictor column"),
    (["--blacklist_file", "no_such_file.txt"], "no_such_file.txt"),
    (["--gene_names", "no_such_names.csv"], "no_such_names.csv"),
    (["--transform_predictors", "log2"], "choose one of"),
    (["--missing", "drp"], "Did you mean 'drop'"),
    (["--output_suffix", "/../x"], "path separator"),
    (["--perturbed_tf", "../X"], "path separator"),
    (["--perturbed_tf", "PP"], "PP"),
    (["--output_dir", "RESPONSE"], "folder"),
    (["--log-level", "LOUD"], "choose one of"),
    (["--respons_file", "x"], "Did you mean '--response_file'"),
    (["stray"], "unexpected argument"),
]


@pytest.mark.parametrize("extra, says", BAD_OPTIONS, ids=[" ".join(o) for o, _ in BAD_OPTIONS])
def test_a_bad_option_is_one_clear_sentence(tmp_path, tables, capsys, extra, says):
    extra = [str(tmp_path / "response.csv") if word == "RESPONSE" else word for word in extra]
    argv = [RUN, *tables, "--perturbed_tf", "P", "--output_dir", str(tmp_path / "out"), *QUICK]
    assert says in refusal(capsys, tmp_path, [*argv, *extra])


def _with(table: pd.DataFrame, row: int, column: str, value) -> pd.DataFrame:
    table = table.astype(object)
    table.loc[table.index[row], column] = value
    return table


BAD_TABLES = {
    "no common genes": (lambda r, p: (r.rename(index=lambda g: "X" + g), p), "no gene"),
    "duplicate genes": (lambda r, p: (pd.concat([r, r.iloc[:2]]), p), "G0000"),
    "duplicate columns": (lambda r, p: (r, pd.concat([p, p[["A"]]], axis=1)), "'A'"),
    "pTF not a predictor": (lambda r, p: (r, p.drop(columns="P")), "P"),
    "two response columns": (lambda r, p: (r.rename(columns={"P": "x"}).assign(y=1.0), p), "x"),
    "text in predictors": (lambda r, p: (r, _with(p, 4, "B", "abc")), "'abc'"),
    "missing value": (lambda r, p: (r, _with(p, 4, "B", np.nan)), "--missing drop"),
    "infinite response": (lambda r, p: (_with(r, 2, "P", np.inf), p), "--missing drop"),
    "constant pTF": (lambda r, p: (r, p.assign(P=1.0)), "same value"),
    "every term constant": (lambda r, p: (r, p.assign(A=0.0, B=0.0, C=0.0, D=0.0, hot=0.0)), "every term is constant"),
    "three genes": (lambda r, p: (r.iloc[:3], p.iloc[:3]), "too few"),
    "column named like a term": (lambda r, p: (r, p.rename(columns={"C": "row_max"})), "row_max"),
    "column named like an interaction": (lambda r, p: (r, p.rename(columns={"C": "P:A"})), "P:A"),
    "header only": (lambda r, p: (r, p.iloc[:0]), "no genes"),
}


@pytest.mark.parametrize("case", BAD_TABLES)
def test_a_bad_table_is_one_clear_sentence(tmp_path, capsys, case):
    spoil, says = BAD_TABLES[case]
    tables = write_tables(tmp_path, *spoil(*small_tables()))
    assert says in refusal(capsys, tmp_path, [RUN, *tables, "--perturbed_tf", "P", "--output_dir", str(tmp_path / "out"), *QUICK])


BAD_FILES = {
    "missing": (None, "does not exist"),
    "empty": (b"", "empty"),
    "Excel": (b"PK\x03\x04\x00\x00\x00\xff\xfe" * 50, "Excel"),
    "binary": (b"\x93\x00\x00\x01\xff\xfe" * 50, "text"),
    "semicolons": (b"gene;P;A\nG1;1;2\nG2;3;4\n", "separator"),
    "not a table": (b"hello\nworld\n", "only one column"),
    "unclosed quote": (b'gene,P,A\nG1,1,"2\nG2,3,4\n', "quote"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_file_is_one_clear_sentence(tmp_path, tables, capsys, case):
    content, says = BAD_FILES[case]
    path = tmp_path / "bad.csv"
    if content is not None:
        path.write_bytes(content)
    argv = change(tables, "--predictors_file", str(path))
    message = refusal(capsys, tmp_path, [RUN, *argv, "--perturbed_tf", "P", "--output_dir", str(tmp_path / "deep" / "out"), *QUICK])
    assert says.lower() in message.lower() and "bad.csv" in message


def test_missing_values_are_dropped_on_request_and_counted(tmp_path, capsys, no_figures):
    response, predictors = small_tables()
    tables = write_tables(tmp_path, response, _with(_with(predictors, 4, "B", np.nan), 7, "A", np.inf))
    assert main([RUN, *tables, "--perturbed_tf", "P", "--output_dir", str(tmp_path / "out"), *QUICK, "--missing", "drop"]) == 0
    summary = json.loads((tmp_path / "out" / "P" / "input_data" / "data_summary.json").read_text())
    assert summary["n_genes"] == 158 and summary["genes_dropped"]["missing values"] == 2


AWKWARD = (
    "YKL112W-A",
    "__import__('os').system('touch HACKED')",
    "<script>alert(1)</script>",
    "1 leading",
    "naïve γ",
    'a,"b"',
    "$x_1$",
    "lambda",
    "C",
)


@pytest.mark.parametrize("ptf", AWKWARD[:7])
def test_names_are_data(tmp_path, capsys, monkeypatch, request, ptf):
    "Names that look like code, markup or arithmetic work, and nothing is evaluated. All stand in the figures of one run."
    if ptf != "$x_1$":
        request.getfixturevalue("no_figures")
    monkeypatch.chdir(tmp_path)
    names = (ptf, *(n for n in AWKWARD if n != ptf))
    tables = write_tables(tmp_path, *small_tables(names=names))
    status = main([RUN, *tables, "--perturbed_tf", ptf, "--output_dir", "out", *QUICK])
    if "/" in ptf:
        assert status == 2 and "path separator" in capsys.readouterr().err
        return
    assert status == 0 and not (tmp_path / "HACKED").exists()
    back = read_run(tmp_path / "out" / slug(ptf))
    assert back.all_data.terms == [f"{ptf}:{n}" for n in names[1:]] and f"{ptf}:{names[1]}" in back.survivors


def test_numbers_do_not_depend_on_threads_hash_seed_or_row_order(tmp_path):
    "Every artifact is identical, figures included; run.json's times, hashes and paths and the log excepted."
    response, predictors = small_tables()
    (tmp_path / "mixed").mkdir()
    tables = write_tables(tmp_path, response, predictors)
    mixed = write_tables(tmp_path / "mixed", response.sample(frac=1, random_state=1), predictors.sample(frac=1, random_state=2))
    cases = [("1", "0", tables), ("2", "123", mixed)]
    results = []
    for cpus, hash_seed, files in cases:
        out = tmp_path / f"out{cpus}"
        argv = [RUN, *files, "--perturbed_tf", "P", "--output_dir", str(out), *QUICK, "--n_cpus", cpus, "--stage4_lasso", "--scale_by_std"]
        env = {**os.environ, "PYTHONHASHSEED": hash_seed, "MPLBACKEND": "Agg"}
        subprocess.run([sys.executable, "-m", "tfbpmodeling", *argv], check=True, env=env, capture_output=True)
        results.append({name: content for name, content in files_of(out / "P").items() if not name.endswith(".log") and name != "run.json"})
    assert results[0].keys() == results[1].keys()
    assert [name for name in results[0] if results[0][name] != results[1][name]] == []


def test_a_failure_of_ours_keeps_log_and_manifest(tmp_path, tables, capsys, monkeypatch, no_figures):
    import tfbpmodeling.report

    argv = [RUN, *tables, "--perturbed_tf", "P", "--output_dir", str(tmp_path / "out"), *QUICK]
    with monkeypatch.context() as m:
        m.setattr(tfbpmodeling.report, "run", lambda *a, **k: 1 / 0)
        assert main(argv) == 1
    assert "ZeroDivisionError" in capsys.readouterr().err
    failed = tmp_path / "out" / "P.failed"
    run = json.loads((failed / "run.json").read_text())
    assert run["status"] == "failed" and "ZeroDivisionError" in run["error"] and len(run["inputs"]) == 2
    assert "Traceback" in next(failed.glob("*.log")).read_text()
    assert main(argv) == 0
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["P"]


def test_a_killed_run_leaves_nothing_that_looks_whole(tmp_path, tables, no_figures):
    argv = [RUN, *tables, "--perturbed_tf", "P", "--output_dir", str(tmp_path / "out"), *QUICK]
    python = [sys.executable, "-m", "tfbpmodeling"]
    slow = subprocess.Popen([*python, *argv, "--n_bootstraps", "200000"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            if list((tmp_path / "out").glob(".P.partial-*")) if (tmp_path / "out").exists() else False:
                break
            time.sleep(0.1)
    finally:
        slow.kill()
        slow.wait()
    assert not (tmp_path / "out" / "P").exists() and list((tmp_path / "out").glob(".P.partial-*"))
    assert main(argv) == 0
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["P"]


def test_simulate_writes_tables_that_the_main_job_takes(tmp_path, capsys):
    sizes = ["--n_genes", "300", "--n_tfs", "12", "--n_interactors", "3", "--n_main_effects", "1"]
    assert main(["simulate", "--output_dir", str(tmp_path / "data"), *sizes]) == 0
    truth = json.loads((tmp_path / "data" / "truth.json").read_text())
    ptf = next(iter(truth["perturbed"]))
    files = ["--response_file", str(tmp_path / "data/response.csv"), "--predictors_file", str(tmp_path / "data/predictors.csv")]
    assert main(["check", *files, "--perturbed_tf", ptf, "--top_n", "100"]) == 0


def test_quiet_console_still_writes_the_log(tmp_path, tables, capsys, no_figures):
    argv = [RUN, *tables, "--perturbed_tf", "P", "--output_dir", str(tmp_path / "out"), *QUICK]
    assert main(["--log-handler", "file", "--log-level", "DEBUG", *argv]) == 0
    assert capsys.readouterr().err == "" and "INFO" in next((tmp_path / "out" / "P").glob("*.log")).read_text()
    assert main([*argv, "--log-level", "ERROR", "--overwrite"]) == 0
    assert "INFO" not in capsys.readouterr().err


def test_help_and_version(capsys):
    assert main([]) == 0 and RUN in capsys.readouterr().out
    assert main(["--version"]) == 0 and capsys.readouterr().out.startswith("tfbpmodeling 0.")
    with pytest.raises(SystemExit) as e:
        main([RUN, "--help"])
    published = """response_file predictors_file perturbed_tf blacklist_file n_bootstraps random_state top_n normalize_sample_weights scale_by_std
        row_max squared_pTF cubic_pTF ptf_main_effect exclude_interactor_variables add_model_variables bins all_data_ci_level topn_ci_level max_iter
        iterative_dropout stabilization_ci_start stage4_lasso stage4_topn output_dir output_suffix n_cpus log-level log-handler""".split()
    text = capsys.readouterr().out
    assert e.value.code == 0 and all(f"--{flag}" in text for flag in published)


@pytest.mark.parametrize("name, status", [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_signal_ends_a_run_and_leaves_its_log(tmp_path, tables, name, status):
    out = tmp_path / "out"
    argv = [
        sys.executable,
        "-m",
        "tfbpmodeling",
        RUN,
        *tables,
        "--perturbed_tf",
        "P",
        "--output_dir",
        str(out),
        *QUICK,
        "--n_bootstraps",
        "200000",
    ]
    start = subprocess.Popen(
        argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler)
    )
    for line in start.stderr:  # the plan is logged when the first stage begins
        if b"strata of" in line:
            break
    time.sleep(0.5)
    start.send_signal(getattr(signal, name))
    assert start.wait(timeout=60) == status
    assert [p.name for p in out.iterdir()] == ["P.failed"]
    assert json.loads((out / "P.failed" / "run.json").read_text())["status"] == "interrupted"
    assert "interrupted" in next((out / "P.failed").glob("*.log")).read_text()


# --- completion


def completed(script: Path, *words: str) -> list[str]:
    "What bash offers for the last word."
    line = f'source "{script}"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _tfbpmodeling; printf "%s\\n" "${{COMPREPLY[@]}}"'
    done = subprocess.run(["bash", "-c", line, "bash", "tfbpmodeling", *words], capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return done.stdout.split()


def test_bash_completes_commands_options_and_choices(tmp_path, capsys):
    if shutil.which("bash") is None:
        pytest.skip("no bash here")
    assert main(["completion", "bash"]) == 0
    script = tmp_path / "completion.bash"
    script.write_text(capsys.readouterr().out)
    assert set(completed(script, "")) == {*COMMANDS, "--help", "--version"} and completed(script, "che") == ["check"]
    assert completed(script, "batch", "--retry") == ["--retry_failed"] and completed(script, "--log-level", "INFO", RUN, "--sq") == [
        "--squared_pTF"
    ]
    assert completed(script, "check", "--missing", "") == ["error", "drop"] and completed(script, "completion", "f") == ["fish"]
    assert completed(script, "report", "") == [], "what is no option is a file: bash itself completes it"


def test_every_shell_gets_every_option(capsys):
    for shell, dashes in (("zsh", "--"), ("fish", "-l ")):
        assert main(["completion", shell]) == 0
        script = capsys.readouterr().out
        assert all(
            f"{dashes}{f.name}" in script for f in dataclasses.fields(Config) if f.metadata["group"] and not f.name.startswith("log_")
        )
    assert main(["completion", "tcsh"]) == 2 and "choose one of" in capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command_is_short_grouped_and_has_an_example(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    said = capsys.readouterr().out
    heads = [line for line in said.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert (
        stop.value.code == 0
        and f"example:\n  tfbpmodeling {command} " in said
        and len(heads) == len(set(heads))
        and len(said.splitlines()) < 150
    )
