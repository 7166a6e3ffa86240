"""Without the extras: everything is imported, the core needs none of them, and what does says so in one sentence with the pip command."""

import shutil
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import numpy as np
import pytest

from tfbpmodeling.modeling_data import read_table

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = ("memelite", "torch", "tangermeme", "safetensors")
BLOCKED = f"""
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {EXTRAS!r}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
"""
COMMAND = "import sys; from tfbpmodeling.cli import main; sys.exit(main(sys.argv[1:]))"
IMPORTS = """
import importlib, pkgutil, sys, tfbpmodeling
names = [m.name for m in pkgutil.walk_packages(tfbpmodeling.__path__, "tfbpmodeling.") if not m.name.endswith("__main__")]
for name in names:
    importlib.import_module(name)
print(*names)
"""


def bare(code: str, *args: str, python: str = sys.executable, block: str = BLOCKED, cwd: Path | None = None):
    "Run code where no extra is installed."
    return subprocess.run([python, "-c", block + code, *args], capture_output=True, text=True, encoding="utf-8", cwd=cwd)


def write_files(folder: Path) -> None:
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list("ACGT"), 50)) for _ in range(60)]
    (folder / "p.fa").write_text("".join(f">G{i}\n{t}\n" for i, t in enumerate(texts)))
    (folder / "s.txt").write_text("\n".join(texts) + "\n")
    (folder / "l.txt").write_text("0\n1\n" * 30)
    (folder / "m.pfm").write_text(">M1 TF1\n8 0 9\n0 0 1\n1 9 0\n1 1 0\n")


SENTENCES = [
    ("motif_scores --sequences p.fa --motifs m.pfm --score count --output x.csv", "find_hits needs memelite", "motifs"),
    ("tfbs --sequences s.txt --labels l.txt --output_dir net", "tfbs needs torch", "sequence"),
    ("tfbs_scores --model net --sequences p.fa --name A --output x.csv", "the TFBS network needs torch", "sequence"),
]


@pytest.mark.parametrize("command, what, extra", SENTENCES, ids=[c.split()[0] for c, _, _ in SENTENCES])
def test_one_sentence_names_the_pip_command(tmp_path, command, what, extra):
    write_files(tmp_path)
    before = sorted(tmp_path.iterdir())
    done = bare(COMMAND, *command.split(), cwd=tmp_path)
    assert done.returncode == 2 and sorted(tmp_path.iterdir()) == before
    assert done.stderr.strip().splitlines() == [f"tfbpmodeling: error: {what}, which is not installed: pip install 'tfbpmodeling[{extra}]'"]


def test_every_module_is_imported_and_scores_without_a_threshold_are_made(tmp_path):
    write_files(tmp_path)
    done = bare(IMPORTS, cwd=tmp_path)
    assert done.returncode == 0 and "tfbpmodeling.sequence.tfbs_report" in done.stdout.split(), done.stderr
    done = bare(COMMAND, *"motif_scores --sequences p.fa --motifs m.pfm --output x.csv".split(), cwd=tmp_path)
    assert done.returncode == 0 and read_table(tmp_path / "x.csv").shape == (60, 1), done.stderr


def test_the_core_requires_no_extra():
    parser = ConfigParser(delimiters=["="])
    parser.read(ROOT / "settings.ini", encoding="utf-8")
    names = {
        key: {r.split(">")[0].split("<")[0] for r in value.split()}
        for key, value in parser["DEFAULT"].items()
        if key.endswith("requirements")
    }
    assert not names["requirements"] & set(EXTRAS) and not names["dev_requirements"] & set(EXTRAS)
    assert "memelite" in names["motifs_requirements"] and set(EXTRAS) == names["sequence_requirements"]


@pytest.mark.slow
def test_an_environment_that_holds_the_core_alone(tmp_path):
    "Installs the package without extras beside this environment (a minute or two, from the package index)."
    tree, home = tmp_path / "tree", tmp_path / "home"
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(".*", "_docs", "nbs", "tests", "*.egg-info"))
    subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
    python = next(str(p) for p in (home / "bin" / "python", home / "Scripts" / "python.exe") if p.exists())
    subprocess.run([python, "-m", "pip", "install", "-qq", str(tree)], check=True)
    absent = f"import importlib.util as u; print([m for m in {EXTRAS!r} if u.find_spec(m)])"
    assert bare(absent, python=python, block="", cwd=tmp_path).stdout.strip() == "[]"
    done = bare(IMPORTS, python=python, block="", cwd=tmp_path)
    assert done.returncode == 0 and "tfbpmodeling.sequence.tfbs_report" in done.stdout.split(), done.stderr
    write_files(tmp_path)
    for command, what, extra in SENTENCES:
        done = bare(COMMAND, *command.split(), python=python, block="", cwd=tmp_path)
        assert done.returncode == 2 and f"{what}, which is not installed: pip install 'tfbpmodeling[{extra}]'" in done.stderr
