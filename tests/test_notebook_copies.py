"""`notebook` hands out the master notebook of every command that has a page, and --notebook takes back only a copy of the right one."""

from pathlib import Path

import pytest

from tfbpmodeling.cli import COMMANDS, main, options_class
from tfbpmodeling.config import InputError
from tfbpmodeling.notebook_runner import MASTERS, master_notebook, notebook_changes, parameters_of, read_notebook

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("command", MASTERS)
def test_the_copy_is_the_master_of_its_command(tmp_path, capsys, command):
    path = tmp_path / "mine.ipynb"
    assert main(["notebook", "--command", command, "--output", str(path)]) == 0
    assert f"tfbpmodeling {command} --notebook {path}" in capsys.readouterr().out
    assert path.read_text(encoding="utf-8") == master_notebook(MASTERS[command])
    assert path.read_bytes() == (ROOT / "nbs" / "master" / MASTERS[command]).read_bytes()
    assert notebook_changes(read_notebook(str(path), MASTERS[command]), MASTERS[command]) == ""
    options = {f for f in options_class(COMMANDS[command].options).__dataclass_fields__}
    assert options <= set(parameters_of(read_notebook(str(path), MASTERS[command])))


def test_without_a_name_it_is_called_as_the_master_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["notebook", "--command", "tfbs"]) == 0 and main(["notebook", "--command", "tfbs"]) == 2
    assert [p.name for p in tmp_path.iterdir()] == ["run_tfbs.ipynb"]


def test_a_copy_of_another_command_is_refused(tmp_path):
    main(["notebook", "--output", str(tmp_path / "mine.ipynb")])
    with pytest.raises(InputError, match="parameters cell lacks architecture, .*tfbpmodeling notebook --command tfbs"):
        read_notebook(str(tmp_path / "mine.ipynb"), MASTERS["tfbs"])


def test_an_unknown_command_is_named(tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["notebook", "--command", "tfb", "--output", str(tmp_path / "x.ipynb")])
    assert stopped.value.code == 2 and "tfbs" in capsys.readouterr().err and not list(tmp_path.iterdir())
