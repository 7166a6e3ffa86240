"""Pages in a real browser: Debian's chromium without a screen and without a network, and axe-core's rules of accessibility."""

import html
import json
import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

FLAGS = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --enable-logging=stderr".split()


def chromium() -> str:
    "The browser; skips the test where there is none."
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    return found or pytest.skip("no chromium here: make test installs it as root")


@cache
def no_network() -> list[str]:
    "What to put before a command so that it has no network, where the system allows that."
    return (
        ["unshare", "-n"] if os.name == "posix" and subprocess.run(["unshare", "-n", "true"], capture_output=True).returncode == 0 else []
    )


def looked_at(page: Path, script: str, width: int = 1280, dark: bool = False) -> dict:
    "What a script in the page puts into document.title as JSON. The console must stay silent."
    browser, probe = chromium(), page.with_name(f"probe_{os.getpid()}.html")
    probe.write_text(page.read_text(encoding="utf-8").replace("</body>", script + "</body>"), encoding="utf-8")
    profile = page.with_name(f"profile_{os.getpid()}")
    look = ["--blink-settings=preferredColorScheme=0"] if dark else []
    argv = [*no_network(), browser, *FLAGS, *look, f"--user-data-dir={profile}", f"--window-size={width},900", "--virtual-time-budget=8000"]
    try:
        done = subprocess.run([*argv, "--dump-dom", f"file://{probe}"], capture_output=True, text=True, timeout=120, encoding="utf-8")
    finally:
        probe.unlink()
        shutil.rmtree(profile, ignore_errors=True)
    found = re.search(r"<title>(\{.*?\})</title>", done.stdout, re.S)
    assert found, done.stderr[-2000:]
    assert not re.search(f"CONSOLE.*{probe.name}", done.stderr), done.stderr  # chromium has remarks of its own
    return json.loads(html.unescape(found.group(1)))


@cache
def axe() -> str:
    "axe-core as make test fetched it; skips the test where that is missing."
    found = next(Path(sys.prefix).glob("axe/*/axe.min.js"), None)
    return found.read_text(encoding="utf-8") if found else pytest.skip("no axe-core here: make test fetches it once, with a network")


AXE = """<script>%s</script><script>addEventListener('load', async () => {
  document.querySelectorAll('details').forEach(d => { d.open = true });
  const { violations, passes } = await axe.run(document, { resultTypes: ['violations'], preload: false });
  document.title = JSON.stringify({ dark: matchMedia('(prefers-color-scheme: dark)').matches, passed: passes.map(rule => rule.id),
    wrong: violations.filter(rule => ['serious', 'critical'].includes(rule.impact))
      .flatMap(rule => rule.nodes.map(node => `${rule.id}: ${node.html.slice(0, 160)}: ${node.failureSummary}`)) });
})</script>"""


def assert_accessible(page: Path, width: int = 1280, dark: bool = False) -> None:
    "axe-core finds nothing serious or critical, and its rule of contrast did look."
    seen = looked_at(page, AXE % axe(), width, dark)
    assert seen["wrong"] == [] and seen["dark"] == dark and {"color-contrast", "html-has-lang"} <= set(seen["passed"]), seen
