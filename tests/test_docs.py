"""The pages say what is so: made parts are in step, commands run, messages exist, links lead somewhere."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))


def made_page(script: str, *args: str) -> str:
    "What a script of docs/_make writes, from a fresh process."
    code = f"import sys; sys.path.insert(0, 'docs/_make'); from {script} import page; sys.stdout.write(page(*{args}))"
    env = {**os.environ, "PYTHONIOENCODING": "utf-8", "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, encoding="utf-8", env=env
    ).stdout


@pytest.mark.parametrize("script, page", [("options", "options.md"), ("input_examples", "input_formats.md")])
def test_made_pages_are_in_step(script, page):
    assert (DOCS / page).read_text(encoding="utf-8") == made_page(script), "make export"


@pytest.mark.parametrize("name", sorted(p.stem for p in (ROOT / "nbs" / "master").glob("*.ipynb")))
def test_parameters_of_master_notebooks_are_in_step(name):
    assert (ROOT / "nbs" / "master" / f"{name}.ipynb").read_text(encoding="utf-8") == made_page("parameters", name), "make export"


def test_the_calibration_page_and_the_report_say_what_the_study_found():
    "Tables and sentences are made again from the kept tables of the study; those of the report stand under How to read this."
    spec = importlib.util.spec_from_file_location("calibration_page", DOCS / "_make" / "calibration.py")
    spec.loader.exec_module(made := importlib.util.module_from_spec(spec))
    assert (DOCS / "calibration.md").read_text(encoding="utf-8") == made.page(), "python docs/_make/calibration.py"
    notebook = nbformat.read(ROOT / "nbs" / "master" / "run_report.ipynb", as_version=4)
    (how_to_read,) = (c.source for c in notebook.cells if c.source.startswith("## How to read this"))
    missing = [line for line in made.for_the_report(made.study()[0]) if line not in how_to_read]
    assert not missing


def test_messages_of_the_troubleshooting_page_exist():
    code = " ".join(p.read_text(encoding="utf-8") for p in (ROOT / "tfbpmodeling").glob("*.py"))
    code = re.sub(r'"\s*\n\s*f?"', "", code)  # a sentence may be written on two lines
    said = re.findall(r'"([^"]+)"', (DOCS / "troubleshooting.md").read_text(encoding="utf-8"))
    assert len(said) >= 10
    unknown = [s for s in said if not re.search(r".{0,30}?".join(re.escape(part.strip()) for part in s.split("…") if part.strip()), code)]
    assert not unknown


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", ROOT / "SECURITY.md"], ids=lambda p: p.name)
def test_links_to_files_lead_somewhere(page):
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", page.read_text(encoding="utf-8"))
    made = ("example/", "methods/")  # while the site is built
    missing = [link for link in links if not (page.parent / link).exists() and not link.removeprefix("../").startswith(made)]
    assert not missing


def test_every_page_stands_in_the_sidebar():
    listed = (ROOT / "_quarto.yml").read_text(encoding="utf-8")
    assert [p.name for p in PAGES if f"- docs/{p.name}" not in listed] == []
    notebooks = [nb.relative_to(ROOT / "nbs") for nb in (ROOT / "nbs").rglob("*.ipynb") if ".ipynb_checkpoints" not in nb.parts]
    pages = [
        nb.with_name(re.sub(r"^\d+_", "", nb.name)).as_posix() for nb in notebooks if nb.name != "index.ipynb" and nb.parts[0] != "master"
    ]
    assert [p for p in pages if f"- methods/{p}" not in listed] == []


def test_the_quick_start_from_nothing_to_a_batch_of_three(tmp_path):
    "Every command of the page, one after the other, but the installation."
    page = (DOCS / "quick_start.md").read_text(encoding="utf-8")
    install, *commands = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    assert "pip install" in install and len(commands) == 5
    env = {**os.environ, "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
    for command in commands:
        done = subprocess.run(["bash", "-ec", command], cwd=tmp_path, env=env, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    for made in re.findall(r"`((?:tables|results|batch)/[\w./]+)`", page):
        assert (tmp_path / made).exists(), f"the page names {made}"
    assert len(list((tmp_path / "batch").glob("*/report.html"))) == 3


def test_ci_runs_what_the_front_page_names():
    front, ci = (ROOT / "README.md").read_text(encoding="utf-8"), (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    commands = [line.removeprefix("exec ") for line in ci.splitlines() if line and not line.startswith(("#", "set ", "cd "))]
    assert commands == ["make test", "make test-sequence"] and all(c in front for c in [*commands, "make demo"])
