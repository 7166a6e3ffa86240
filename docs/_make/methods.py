"""Before the site is rendered: the notebooks, read by nbdev, as pages in methods/ (which git ignores)."""

import os
import re
import shutil
import sys
from pathlib import Path

from nbdev.serve import proc_nbs

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "methods"


def main() -> None:
    os.chdir(ROOT)
    sys.path += [str(ROOT / "tests"), str(ROOT / "benchmarks")]  # nbdev runs the cells that import
    shutil.rmtree(PAGES, ignore_errors=True)
    proc_nbs(path=ROOT / "nbs", force=True, n_workers=0)
    for notebook in sorted((ROOT / "_proc").rglob("*.ipynb")):
        folder = notebook.parent.relative_to(ROOT / "_proc")
        if notebook.name == "index.ipynb" or "master" in folder.parts:
            continue
        page = PAGES / folder / re.sub(r"^\d+_", "", notebook.name)
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(re.sub(r"output-file: [\w.-]+\\n", "", notebook.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
