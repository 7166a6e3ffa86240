"""The run directory: whole or not there, whatever interrupts it; and what is written is what is read."""

import json
import os
import pty
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
from examples import files_of, small_tables

import tfbpmodeling.artifacts as artifacts
from tfbpmodeling.artifacts import read_rows, read_run, run_directory, settle, slug, write_json, write_rows, write_run
from tfbpmodeling.config import Config, InputError
from tfbpmodeling.modeling_data import make_modeling_data
from tfbpmodeling.workflow import run


@pytest.fixture(scope="module")
def result():
    data = make_modeling_data(*small_tables(), "P")
    return run(Config(perturbed_tf="P", n_bootstraps=20, random_state=1, top_n=100, n_cpus=1), data, progress=False)


def config_in(folder: Path, **options) -> Config:
    return Config(perturbed_tf="P", output_dir=str(folder), **options)


def finished(folder: Path, text: str, **options) -> None:
    "A run directory that holds one word."
    with run_directory(config_in(folder, **options)) as partial:
        (partial / "word").write_text(text)
        (partial / "run.json").write_text("{}")


class Killed(BaseException):
    "Stands for the process ending at once."


@pytest.mark.parametrize("fatal", [1, 2, 3])
def test_an_overwrite_killed_at_any_rename_leaves_one_whole_run(tmp_path, monkeypatch, fatal):
    "Renames: the new one beside, the old one away, the new one in place. After a kill the next visitor finds one whole run, old or new."
    finished(tmp_path, "old")
    calls, rename = [], os.rename

    def dying_rename(a, b):
        calls.append(b)
        if len(calls) == fatal:
            raise Killed
        rename(a, b)

    with monkeypatch.context() as m:
        m.setattr(artifacts.os, "rename", dying_rename)
        with pytest.raises(Killed):
            finished(tmp_path, "new", overwrite=True)
    settle(tmp_path / "P")
    assert (tmp_path / "P" / "word").read_text() == ("old" if fatal == 1 else "new")
    finished(tmp_path, "newer", overwrite=True)
    assert (tmp_path / "P" / "word").read_text() == "newer"
    left = [p.name for p in tmp_path.iterdir() if p.name != "P"]
    assert all(name.startswith(".P.partial-") for name in left)  # this process's own, which a later process removes


def test_partial_folders_of_dead_processes_are_removed_and_those_of_others_kept(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    host = slug(socket.gethostname())
    stale, alive, elsewhere = (
        tmp_path / f".P.partial-{h}-{n}" for h, n in ((host, dead.pid), (host, os.getppid()), ("otherhost", dead.pid))
    )
    for folder in (stale, alive, elsewhere):
        folder.mkdir()
    finished(tmp_path, "done")
    assert not stale.exists() and alive.exists() and elsewhere.exists()


def test_a_killed_process_that_nobody_has_asked_for_its_end_is_dead(tmp_path):
    "A killed Dask worker leaves its process to process 1, which may ask late or never: until then kill(pid, 0) finds the number."
    killed = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    killed.kill()
    while psutil.Process(killed.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    os.kill(killed.pid, 0)  # the number is still taken
    (tmp_path / f".P.partial-{slug(socket.gethostname())}-{killed.pid}.0a1b2c").mkdir()
    finished(tmp_path, "done")
    assert [p.name for p in tmp_path.iterdir()] == ["P"]
    killed.wait()


def test_bad_input_removes_what_it_made_and_a_failure_keeps_it(tmp_path):
    for error, left in ((InputError("bad table"), []), (RuntimeError("ours"), ["P.failed"])):
        with pytest.raises(type(error)):
            with run_directory(config_in(tmp_path / "a" / "b")) as partial:
                (partial / "log").write_text("so far")
                raise error
        assert [p.name for p in (tmp_path / "a" / "b").iterdir()] == left if left else not (tmp_path / "a").exists()


def test_a_directory_that_appears_meanwhile_is_not_touched(tmp_path):
    with pytest.raises(FileExistsError, match="appeared"):
        with run_directory(config_in(tmp_path)):
            (tmp_path / "P").mkdir()
            (tmp_path / "P" / "mine").write_text("x")
    assert (tmp_path / "P" / "mine").read_text() == "x"


def test_slugs_are_safe_and_differ(tmp_path):
    names = ["YKL112W-A", "a b", "a_b", "a/b", "a:b", "<script>", "naïve", "nul\0", "..", ".", "", "-x", "x" * 300, "x" * 301, "CON."]
    made = [slug(n) for n in names]
    assert made[0] == "YKL112W-A" and len(set(made)) == len(names)
    assert all(set(s) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") and len(s) <= 100 for s in made)
    for s in made:
        (tmp_path / s).mkdir()


def test_tables_come_back_to_the_bit_with_names_as_written(tmp_path):
    rng = np.random.RandomState(0)
    table = pd.DataFrame(rng.standard_cauchy((50, 3)) * 10.0 ** rng.randint(-12, 12, (50, 3)), columns=["a", "a", "NA"])
    write_rows(tmp_path / "t.csv", table)
    back = read_rows(tmp_path / "t.csv")
    assert list(back.columns) == ["a", "a", "NA"] and (back.to_numpy() == table.to_numpy()).all()
    names = pd.DataFrame({"term": ["NA", "nan", "007", "1e3", "True", 'a,"b"\n'], "low": np.arange(6.0)})
    write_rows(tmp_path / "n.csv", names)
    assert read_rows(tmp_path / "n.csv")["term"].tolist() == names["term"].tolist()


def test_json_has_no_nan(tmp_path):
    write_json(tmp_path / "x.json", {"a": [float("nan"), np.float64(1.5), np.bool_(True)], "b": (np.int64(3), float("inf"))})
    assert json.loads((tmp_path / "x.json").read_text()) == {"a": [None, 1.5, True], "b": [3, None]}


def test_reading_refuses_what_is_not_a_finished_run(tmp_path, result):
    with pytest.raises(InputError, match="no run.json"):
        read_run(tmp_path)
    (tmp_path / "run.json").write_text('{"status": "failed", "error": "KeyError: x"}')
    with pytest.raises(InputError, match="did not finish"):
        read_run(tmp_path)


def test_a_run_is_written_alike_twice(tmp_path, result):
    written = []
    for name in "ab":
        (tmp_path / name).mkdir()
        write_run(tmp_path / name, result)
        written.append({k: v for k, v in files_of(tmp_path / name).items() if k != "run.json"})
    assert written[0] == written[1]


BAR = "from tfbpmodeling.workflow import progress_bar\nwith progress_bar('stage 2', 4) as update:\n    update(2)\n    update(2)\n"


def test_the_bar_shows_in_a_terminal_and_nowhere_else():
    quiet = subprocess.run([sys.executable, "-c", BAR], capture_output=True, text=True, check=True)
    assert quiet.stdout == quiet.stderr == ""
    master, slave = pty.openpty()
    import fcntl
    import struct
    import termios

    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    with subprocess.Popen([sys.executable, "-c", BAR], stdin=slave, stdout=slave, stderr=slave) as shown:
        shown.wait()
        assert b"stage 2" in os.read(master, 10_000)
