"""The parameters cells of the master notebooks from the options, so that no default and no help text is typed twice."""

import dataclasses
import json
from pathlib import Path

from tfbpmodeling.activity.activity_result import MotifActivityConfig
from tfbpmodeling.config import Config, line_from_names
from tfbpmodeling.evidence.evidence_tables import EvidenceConfig
from tfbpmodeling.sequence.tfbs_report import TfbsConfig

MASTERS = Path(__file__).resolve().parents[2] / "nbs" / "master"
OPTIONS = {"run_report": Config, "run_motif_activity": MotifActivityConfig, "run_tfbs": TfbsConfig, "run_evidence": EvidenceConfig}


def defaults(options: type) -> dict:
    "Name -> default, as a line of text or a number: papermill passes no tuples."
    if options is Config:
        return Config().to_dict()
    given = {f.name: f.default for f in dataclasses.fields(options)}
    return {name: line_from_names(value) if isinstance(value, tuple) else value for name, value in given.items()}


def cell_source(options: type, now: str) -> str:
    "The source of a parameters cell: every option with its help above it, then the parameters of the notebook alone, as they stand now."
    values, lines = defaults(options), []
    for f in dataclasses.fields(options):
        kind = "str" if f.type.startswith("tuple") else f.type
        value = json.dumps(values[f.name], ensure_ascii=False) if isinstance(values[f.name], str) else repr(values[f.name])
        lines += [f"# {f.metadata['help']}", f"{f.name}: {kind} = {value}"]
    pairs = zip(now.splitlines()[::2], now.splitlines()[1::2], strict=True)
    return "\n".join(lines + [line for pair in pairs if pair[1].split(":")[0] not in values for line in pair])


def page(name: str) -> str:
    "The master notebook NAME with its parameters cell made again, as text."
    notebook = json.loads((MASTERS / f"{name}.ipynb").read_text(encoding="utf-8"))
    cell = next(c for c in notebook["cells"] if "parameters" in c["metadata"].get("tags", []))
    cell["source"] = cell_source(OPTIONS[name], "".join(cell["source"])).splitlines(keepends=True)
    return json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


if __name__ == "__main__":
    for name in OPTIONS:
        (MASTERS / f"{name}.ipynb").write_text(page(name), encoding="utf-8")
