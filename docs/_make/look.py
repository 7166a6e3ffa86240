"""Open every page of the site in a browser without network: `python docs/_make/look.py [FOLDER for pictures]`. Exit status 1 where a page is broken."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / "_docs"
sys.path.append(str(ROOT / "tests"))
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--enable-logging=stderr"]
PROBE = """<script>addEventListener('load', () => { const all = [...document.images]; document.title = JSON.stringify({
broken: all.filter(i => !i.naturalWidth).map(i => i.getAttribute('src')),
net: performance.getEntriesByType('resource').filter(e => e.name.startsWith('http')).map(e => e.name),
wide: document.documentElement.scrollWidth - innerWidth}) })</script>"""


def look(chromium: str, page: Path, pictures: Path | None) -> list[str]:
    "What is wrong with a page."
    cut = ["unshare", "-n"] if subprocess.run(["unshare", "-n", "true"], capture_output=True).returncode == 0 else []
    probe = page.with_name(f"probe-{page.name}")
    probe.write_text(page.read_text(encoding="utf-8").replace("</body>", PROBE + "</body>"), encoding="utf-8")
    with tempfile.TemporaryDirectory() as profile:
        command = [*cut, chromium, *FLAGS, f"--user-data-dir={profile}", "--window-size=1280,900", "--virtual-time-budget=6000"]
        done = subprocess.run([*command, "--dump-dom", f"file://{probe}"], capture_output=True, text=True, timeout=120)
        if pictures:
            name = "-".join(page.relative_to(SITE).with_suffix(".png").parts)
            subprocess.run([*command, f"--screenshot={pictures.resolve() / name}", f"file://{page}"], capture_output=True, timeout=120)
    probe.unlink()
    found = re.search(r"<title>(\{.*?\})</title>", done.stdout)
    if not found:
        return ["it did not load"]
    seen = json.loads(found[1].replace("&quot;", '"').replace("&amp;", "&"))
    wrong = [f"image {src} is missing" for src in seen["broken"]] + [f"it asks the net for {url}" for url in seen["net"]]
    wrong += ["it is wider than the window"] if seen["wide"] > 0 else []
    return wrong + re.findall(r"CONSOLE.*probe-.*", done.stderr) + barriers(page)


def barriers(page: Path) -> list[str]:
    "What axe-core finds serious; nothing where make could not fetch it."
    import browser  # that of the tests

    if next(Path(sys.prefix).glob("axe/*/axe.min.js"), None) is None:
        return []
    return browser.looked_at(page, browser.AXE % browser.axe())["wrong"]


def main() -> None:
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        return print("no chromium here: the pages were not opened")
    pictures = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    if pictures:
        os.makedirs(pictures, exist_ok=True)
    pages = [p for p in sorted(SITE.rglob("*.html")) if "example" not in p.relative_to(SITE).parts]
    wrong = {p.relative_to(SITE).as_posix(): look(chromium, p, pictures) for p in pages}
    for page, what in wrong.items():
        for sentence in what:
            print(f"{page}: {sentence}")
    print(f"{len(pages)} pages opened in a browser without network; {sum(map(bool, wrong.values()))} with a fault")
    sys.exit(any(wrong.values()))


if __name__ == "__main__":
    main()
