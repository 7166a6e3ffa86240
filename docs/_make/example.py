"""Before the site is rendered: one run on generated tables, whose report and figures the pages show (example/, which git ignores)."""

import shutil
from pathlib import Path

from tfbpmodeling.cli import main as command

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "example"


def main() -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
    if command(["demo", "--output_dir", str(FOLDER), "--log_handler", "file"]):
        raise SystemExit("the example run failed")
    plots = FOLDER / "XAB1" / "interactor_significance" / "interaction_plots"
    shutil.copy(sorted(plots.glob("interaction_01_*.png"))[0], FOLDER / "interaction.png")


if __name__ == "__main__":
    main()
