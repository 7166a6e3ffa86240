"""After the site is rendered: maths as MathML in place of a script from the net, and no page that needs the net."""

import html
import os
import re
import sys
from pathlib import Path

from latex2mathml.converter import convert

ROOT = Path(__file__).resolve().parents[1]
MATHS = re.compile(r'<span class="math (inline|display)">\\[(\[](.*?)\\[)\]]</span>', re.DOTALL)
KATEX = re.compile(r"<link[^>]*katex[^>]*>|<script[^>]*katex[^>]*>\s*</script>|<script[^>]*auto-render[^>]*>\s*</script>")
FROM_THE_NET = re.compile(
    r'<(?:script|img|iframe)[^>]*\ssrc="(?:https?:)?//[^"]*"|<link[^>]*rel="stylesheet"[^>]*href="(?:https?:)?//[^"]*"'
)


def mathml(found: re.Match) -> str:
    display = "block" if found[1] == "display" else "inline"
    return f'<span class="math {found[1]}">{convert(html.unescape(found[2]), display=display)}</span>'


def main() -> None:
    site, bad = ROOT / os.environ.get("QUARTO_PROJECT_OUTPUT_DIR", "_docs"), []
    for page in sorted(site.rglob("*.html")):
        if "example" in page.relative_to(site).parts:
            continue
        text = KATEX.sub("", MATHS.sub(mathml, page.read_text(encoding="utf-8")))
        page.write_text(text, encoding="utf-8")
        bad += [f"{page.relative_to(site)}: {tag}" for tag in FROM_THE_NET.findall(text)]
    if bad:
        sys.exit("pages that need the net:\n" + "\n".join(bad))


if __name__ == "__main__":
    main()
