"""README.md from nbs/index.ipynb, so that the front page has one home."""

import json
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "README.md"


def page() -> str:
    "The markdown cells as they are, the code cells as Python blocks, without directives and outputs."
    parts = ["<!-- made from nbs/index.ipynb: edit that, then make export -->"]
    for cell in json.loads((ROOT / "nbs" / "index.ipynb").read_text(encoding="utf-8"))["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "code":
            lines = [line for line in text.splitlines() if not line.startswith("#|")]
            text = "\n".join(["```python", *lines, "```"])
        parts.append(text.strip())
    return "\n\n".join(parts) + "\n"
