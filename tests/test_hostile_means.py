"""Too little memory, a full disk, sizes out of reach, a reader that has gone, an empty folder name: one sentence each, early, and nothing left behind."""

import contextlib
import logging
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from examples import files_of, small_tables, write_tables

from tfbpmodeling.bootstrap_model_results import bootstrap_memory, free_memory, require_memory
from tfbpmodeling.cli import COMMANDS, main, make_parser
from tfbpmodeling.command_line import PLACES
from tfbpmodeling.config import Config, DiskFull, InputError, disk_full
from tfbpmodeling.notebook_runner import log_file, require_room

RUN = "linear_perturbation_binding_modeling"
QUICK = ["--n_bootstraps", "20", "--random_state", "1", "--top_n", "100", "--n_cpus", "1"]
PROGRAM = [sys.executable, "-m", "tfbpmodeling"]


@pytest.fixture
def run(tmp_path) -> list[str]:
    "The main job on good tables, as arguments."
    return [RUN, *write_tables(tmp_path, *small_tables()), "--perturbed_tf", "P", "--output_dir", str(tmp_path / "out"), *QUICK]


def one_sentence(said: str) -> str:
    "The only line of what was said on standard error, the log left out."
    lines = [line for line in said.splitlines() if line.split(" ")[0] not in ("INFO", "WARNING")]
    assert len(lines) == 1 and lines[0].startswith("tfbpmodeling: error: "), said
    return lines[0]


# --- memory


def limited(argv: list[str], gigabytes: float, folder: Path) -> subprocess.CompletedProcess:
    "Run the program below a limit of its address space; a hang ends the test."
    limit = int(gigabytes * 1e9)
    bound = dict(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)), timeout=120)
    return subprocess.run([*PROGRAM, *argv], capture_output=True, text=True, cwd=folder, **bound)


@pytest.mark.parametrize("gigabytes, page", [(0.3, True), (1.0, True), (2.0, True), (2.0, False)])
def test_a_run_below_the_memory_that_it_reserves_is_refused_at_once(run, tmp_path, gigabytes, page):
    done = limited([*run, *([] if page else ["--no_report"])], gigabytes, tmp_path)
    said = one_sentence(done.stderr)
    assert done.returncode == 2 and f"{gigabytes:.2g} GB (ulimit -v)" in said and "needs 2.2 GB" in said and "ulimit -v unlimited" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_says_what_memory_it_needs(command, tmp_path):
    "Below 0.2 GB Python itself starts, and nothing else may be tried."
    words = [word for a in make_parser(command)._actions if a.required for word in (*a.option_strings[:1], "x")]
    done = limited([command, *words], 0.2, tmp_path)
    assert done.returncode == 2 and f"{command} needs" in one_sentence(done.stderr)


def test_help_and_version_need_no_memory_to_speak_of(tmp_path):
    for words in ([], ["--help"], ["--version"]):
        assert limited(words, 0.2, tmp_path).returncode == 0


def test_more_bootstraps_than_memory_are_refused_early(run, tmp_path, capsys):
    before = files_of(tmp_path)
    for command in (RUN, "check"):
        for n in ("999999999999", "1e15"):
            assert main([command, *run[1:], "--n_bootstraps", n]) == 2
            said = one_sentence(capsys.readouterr().err)
            assert f"--n_bootstraps {int(float(n))}: it needs at least" in said and "are free" in said
    assert main(["check", *run[1:], "--null_permutations", "999999999999"]) == 2
    assert "--null_permutations 999999999999: it needs at least 200 TB of memory" in one_sentence(capsys.readouterr().err)
    assert files_of(tmp_path) == before


def test_what_fits_is_not_refused():
    "The bound is from below: the largest run of the performance page needs a fraction of what a laptop has."
    assert bootstrap_memory(6000, 150, 5000) < 0.2e9 and bootstrap_memory(6000, 900, 10000) < 0.5e9
    require_memory("--n_bootstraps 5000", bootstrap_memory(6000, 150, 5000), free=2_000_000_000)
    assert free_memory() > 100_000_000


def test_a_limit_of_the_shell_counts_as_memory():
    code = "from tfbpmodeling.bootstrap_model_results import free_memory; print(free_memory())"
    limit = 3_000_000_000
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )
    assert 0 < int(done.stdout) < limit


def test_the_bound_is_below_what_the_draws_take():
    "The arrays that a stage returns, counted byte by byte."
    import numpy as np

    from tfbpmodeling.bootstrap_model_results import bootstrap_weights
    from tfbpmodeling.lasso import BootstrapLassoCV

    X, strata, weights = np.random.RandomState(0).normal(size=(80, 5)), np.repeat([1, 2], 40), bootstrap_weights(80, 30, 1)
    fits = BootstrapLassoCV().fit(X, X[:, 0], strata, weights)
    held = weights.nbytes + fits.alphas_.nbytes + fits.cv_mse_.nbytes + 2 * fits.coef_.nbytes
    assert bootstrap_memory(80, 5, 30) <= held


# --- the disk


@contextlib.contextmanager
def small_disk(folder: Path, size: str):
    "A disk in memory, where root may mount one."
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("only root may mount a small disk; RLIMIT_FSIZE stands in for it in the test below")
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("page", [True, False])
@pytest.mark.parametrize("size", ["16k", "300k", "700k"])
def test_a_full_disk_is_one_sentence_and_leaves_nothing(run, tmp_path, size, page):
    "16k: refused before it starts; the others fill up on the way."
    with small_disk(tmp_path / "out", size):
        done = subprocess.run([*PROGRAM, *run, *([] if page else ["--no_report"])], capture_output=True, text=True, cwd=tmp_path)
        said = one_sentence(done.stderr)
        assert done.returncode == 2 and "make room" in said and "--output_dir" in said and " MB" in said
        assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("page", [True, False])
def test_a_limit_to_the_size_of_files_is_one_sentence_and_leaves_nothing(run, tmp_path, page):
    "The same without root: no file may be larger than 12 kB. The kernel and its notebook meet it as well."
    bound = dict(
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (12_000, 12_000)),
        env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")},
    )
    done = subprocess.run([*PROGRAM, *run, *([] if page else ["--no_report"])], capture_output=True, text=True, cwd=tmp_path, **bound)
    assert done.returncode == 2 and "no room" in one_sentence(done.stderr)
    assert not (tmp_path / "out").exists()


def test_any_command_says_where_there_is_no_room(tmp_path):
    for size, argv in (("64k", ["simulate", "--output_dir", "64k/tables"]), ("8k", ["notebook", "--output", "8k/copy.ipynb"])):
        with small_disk(tmp_path / size, size):
            done = subprocess.run([*PROGRAM, *argv], capture_output=True, text=True, cwd=tmp_path)
            said = one_sentence(done.stderr)
            assert done.returncode == 2 and ("No space left" in said or "no room left" in said)
            assert not list((tmp_path / size).rglob("*.half"))


def test_a_disk_that_cannot_hold_a_run_is_named_with_what_is_needed(tmp_path):
    with pytest.raises(DiskFull, match="writes at least 1,000,000,000.0 MB: make room"):
        require_room(tmp_path, 10**15)
    require_room(tmp_path, 1)


def test_disk_full_is_found_wherever_it_is_wrapped():
    no_room = OSError(28, "No space left on device")
    try:
        try:
            raise no_room
        except OSError as e:
            raise RuntimeError("a cell failed") from e
    except RuntimeError as e:
        assert disk_full(e)
    assert disk_full(RuntimeError("OSError: [Errno 28] No space left")) and disk_full(DiskFull("no room"))
    assert not disk_full(OSError(13, "Permission denied")) and not disk_full(InputError("x")) and not disk_full(None)


def test_a_log_on_a_full_disk_stays_silent(capsys):
    with log_file(Path("/dev/full")):
        logging.getLogger("tfbpmodeling").info("this finds no room")
    assert capsys.readouterr().err == ""


# --- who reads has gone


def unread(argv: list[str], folder: Path, stderr_too: bool = False, buffered: bool = True) -> subprocess.CompletedProcess:
    "Run the program with a standard output whose reader has gone already."
    read, write = os.pipe()
    os.close(read)
    try:
        stderr = write if stderr_too else subprocess.PIPE
        default = lambda: signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # noqa: E731  as a shell starts it
        env = {**os.environ, "PYTHONUNBUFFERED": "" if buffered else "1"}
        return subprocess.run([*PROGRAM, *argv], stdout=write, stderr=stderr, text=True, cwd=folder, preexec_fn=default, env=env)
    finally:
        os.close(write)


ANSWERS = [["--help"], ["--version"], ["completion", "bash"], ["completion", "fish"], ["notebook"], ["simulate", "--output_dir", "t", "--n_genes", "300", "--n_tfs", "8", "--n_interactors", "2", "--n_main_effects", "1"]]  # fmt: skip


@pytest.mark.parametrize("argv", [*ANSWERS, *([command, "--help"] for command in COMMANDS)], ids=" ".join)
def test_an_answer_that_nobody_reads_ends_quietly(argv, tmp_path):
    done = unread(argv, tmp_path)
    assert done.returncode == 0 and done.stderr == "", done.stderr


def test_check_and_a_run_that_nobody_reads_end_quietly(run, tmp_path):
    for buffered in (True, False):
        done = unread(["check", *run[1:]], tmp_path, buffered=buffered)
        assert done.returncode == 0 and "Error" not in done.stderr, done.stderr
    assert unread([*run, "--no_report"], tmp_path, stderr_too=True).returncode == 0
    assert (tmp_path / "out" / "P" / "run.json").is_file(), "the work is not lost with its reader"


def test_an_error_that_nobody_reads_keeps_its_status(tmp_path):
    assert unread(["check", "--respons_file", "x"], tmp_path, stderr_too=True).returncode == 2
    assert unread(["report", "nowhere"], tmp_path, stderr_too=True).returncode == 2


# --- options that lead nowhere


EMPTY = [(name, a.option_strings[-1]) for name in COMMANDS for a in make_parser(name)._actions if a.metavar in PLACES and a.option_strings]


@pytest.mark.parametrize("command, flag", EMPTY, ids=[" ".join(case) for case in EMPTY])
@pytest.mark.parametrize("value", ["", "  "])
def test_an_empty_place_is_refused_and_nothing_is_written(command, flag, value, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    needed = [word for a in make_parser(command)._actions if a.required for word in (*a.option_strings[:1], "x")]
    with pytest.raises(SystemExit) as stop:
        main([command, *needed, flag, value])
    assert (
        stop.value.code == 2
        and f"{flag if flag != '--output' or command != 'compare' else '--output'} '' is empty" in capsys.readouterr().err
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option, value", [("--n_bootstraps", "0"), ("--n_bootstraps", "999999999999"), ("--random_state", "-1"), ("--random_state", "x"), ("--n_cpus", "0"), ("--log-level", "LOUD")])  # fmt: skip
def test_a_demo_with_a_bad_option_writes_nothing(option, value, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["demo", option, value]) == 2
    assert option in one_sentence(capsys.readouterr().err) and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["log_level", "log_handler"])
def test_messages_name_the_options_of_the_log_as_they_are_typed(name):
    with pytest.raises(InputError, match=f"--{name.replace('_', '-')} LOUD: choose one of"):
        Config(**{name: "LOUD"})


def test_a_message_is_one_line_whatever_a_name_holds(tmp_path, capsys):
    assert main(["report", str(tmp_path / "a\nb\x1b[31m")]) == 2
    assert "a\\nb\\x1b[31m" in one_sentence(capsys.readouterr().err)
