"""docs/options.md from the options themselves, so that no option is typed twice."""

import dataclasses
from pathlib import Path

from tfbpmodeling.activity.activity_result import MotifActivityConfig
from tfbpmodeling.activity.activity_simulation import ActivityConfig
from tfbpmodeling.activity.activity_study_report import ActivityStudyConfig
from tfbpmodeling.cli import GROUPS
from tfbpmodeling.config import BatchConfig, Config
from tfbpmodeling.evidence.evidence_tables import EvidenceConfig
from tfbpmodeling.known_truth.calibration import CalibrationConfig
from tfbpmodeling.known_truth.simulation import SimulationConfig
from tfbpmodeling.sequence.motifs import MotifScoresConfig
from tfbpmodeling.sequence.tfbs_report import TfbsConfig, TfbsScoresConfig

OTHERS = {
    "simulate": SimulationConfig,
    "simulate --model activity": ActivityConfig,
    "calibrate": CalibrationConfig,
    "evidence": EvidenceConfig,
    "motif_activity": MotifActivityConfig,
    "activity_study": ActivityStudyConfig,
    "motif_scores": MotifScoresConfig,
    "tfbs": TfbsConfig,
    "tfbs_scores": TfbsScoresConfig,
}
PAGE = Path(__file__).resolve().parents[1] / "options.md"
HEAD = """# Every option

<!-- made by docs/_make/options.py from the options in nbs/: edit those, then make export -->

Option names are the same for the command, in Python (`Config(top_n=300)`), in the master notebook, and in `run.json`. A value outside its usual range is allowed, with a
warning; an impossible one is refused."""


def shown(name: str, value) -> str:
    "A default as it is typed."
    if value in (None, "", ()) or value is False:
        return ""
    return (
        "`" + (",".join(f"{v:g}" for v in value) if name == "bins" else ",".join(value) if isinstance(value, tuple) else f"{value}") + "`"
    )


def table(fields: list[dataclasses.Field]) -> list[str]:
    lines = ["| option | default | what it does |", "|---|---|---|"]
    for f in fields:
        flag = f.name.replace("log_", "log-") if f.name.startswith("log_") else f.name
        usual = f.metadata["published"]
        more = (f" One of: {', '.join(f.metadata['choices'])}." if f.metadata["choices"] else "") + (
            f" Usual: {usual[0]:g} to {usual[1]:g}." if usual else ""
        )
        lines.append(f"| `--{flag}` | {shown(f.name, f.default)} | {f.metadata['help']}{more} |".replace("  ", " "))
    return lines


def page() -> str:
    known = {f.name: f.metadata["help"] for f in dataclasses.fields(Config)}
    batch = [f for f in dataclasses.fields(BatchConfig) if known.get(f.name) != f.metadata["help"] and f.metadata["group"]]
    parts = [HEAD, "\n## A run: linear_perturbation_binding_modeling, check\n"]
    for group, title in GROUPS.items():
        fields = [f for f in dataclasses.fields(Config) if f.metadata["group"] == group]
        if fields:
            parts += [f"### {title[0].upper()}{title[1:]}\n", *table(fields), ""]
    parts += ["## A batch, beside those\n", *table(batch)]
    for name, kind in OTHERS.items():
        parts += ["", f"## {name}\n", *table(list(dataclasses.fields(kind)))]
    return "\n".join(parts) + "\n"
