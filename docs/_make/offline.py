"""After the site is rendered: maths as MathML in place of a script from the net, a name for every figure, and no page that needs the net."""

import html
import os
import re
import sys
from pathlib import Path

from latex2mathml.converter import convert

ROOT = Path(__file__).resolve().parents[2]
MATHS = re.compile(r'<span class="math (inline|display)">\\[(\[](.*?)\\[)\]]</span>', re.DOTALL)
KATEX = re.compile(r"<link[^>]*katex[^>]*>|<script[^>]*katex[^>]*>\s*</script>|<script[^>]*auto-render[^>]*>\s*</script>")
SCROLLS = re.compile(r'<(pre|div(?= class="(?:sourceCode|cell-output|sd-table)))(?![^>]*tabindex)')
FROM_THE_NET = re.compile(
    r'<(?:script|img|iframe)[^>]*\ssrc="(?:https?:)?//[^"]*"|<link[^>]*rel="stylesheet"[^>]*href="(?:https?:)?//[^"]*"'
)


def mathml(found: re.Match) -> str:
    display = "block" if found[1] == "display" else "inline"
    reach = ' tabindex="0"' if display == "block" else ""
    return f'<span class="math {found[1]}"{reach}>{convert(html.unescape(found[2]), display=display)}</span>'


def named_figures(page: str) -> str:
    "Figures of notebooks get the heading above them as their text."
    heading, parts = "", re.split(r"(<h[1-6][^>]*>.*?</h[1-6]>|<img(?![^>]*\salt=)[^>]*>)", page, flags=re.DOTALL)
    for i, part in enumerate(parts):
        if part.startswith("<h") and re.match("<h[1-6]", part):
            heading = html.unescape(re.sub("<[^>]+>", "", part)).strip()
        elif part.startswith("<img") and " alt=" not in part:
            parts[i] = f'<img alt="Figure: {html.escape(heading)}"{part[4:]}'
    return "".join(parts)


def main() -> None:
    site, bad = ROOT / os.environ.get("QUARTO_PROJECT_OUTPUT_DIR", "_docs"), []
    for page in sorted(site.rglob("*.html")):
        if "example" in page.relative_to(site).parts:
            continue
        text = SCROLLS.sub(r'<\1 tabindex="0"', page.read_text(encoding="utf-8"))  # so that a keyboard can scroll them
        text = named_figures(KATEX.sub("", MATHS.sub(mathml, text)))
        page.write_text(text, encoding="utf-8")
        bad += [f"{page.relative_to(site)}: {tag}" for tag in FROM_THE_NET.findall(text)]
    if bad:
        sys.exit("pages that need the net:\n" + "\n".join(bad))


if __name__ == "__main__":
    main()
