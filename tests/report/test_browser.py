"""A report in a real browser, from the disk: it requests nothing, has no errors, and shows all.

Skipped where neither Chromium nor Chrome is installed.
"""

import base64
import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from jaxaction import report
from tests import tiny_run
from tests.report import made_up
from tests.report.parsed import parse

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

# This script goes into a copy of the page, since only the page itself can see what the browser did.
PROBE = """
const seen = {problems: [], asked: []};
for (const kind of ["error", "securitypolicyviolation"])
  addEventListener(kind, (e) => seen.problems.push(`${kind} ${e.message || e.blockedURI}`), true);
addEventListener("load", () => {
  const size = (e) => [e.getBoundingClientRect().width, e.getBoundingClientRect().height];
  const all = (selector) => Array.from(document.querySelectorAll(selector));
  const names = () => all("#classes tbody tr").map((row) => row.cells[0].textContent);
  seen.asked = performance.getEntriesByType("resource").map((entry) => entry.name);
  seen.images = all("img").map((e) => [e.complete && e.naturalWidth, ...size(e)]);
  seen.charts = all("figure.chart svg").map(size);
  seen.lines = all("polyline").map((e) => e.getTotalLength());
  seen.wide = document.documentElement.scrollWidth - innerWidth;
  seen.sorted = [names()];
  for (const column of [0, 0, 1]) {
    all("#classes button")[column].click();
    seen.sorted.push(names());
  }
  seen.order = all("#classes th").map((e) => e.getAttribute("aria-sort"));
  document.body.append(Object.assign(document.createElement("pre"),
    {className: "probe", textContent: JSON.stringify(seen)}));
});
"""


def with_probe(path: Path, more: str = "") -> Path:
    digest = base64.b64encode(hashlib.sha256(PROBE.encode()).digest()).decode()
    html = path.read_text("utf-8").replace("script-src ", f"script-src 'sha256-{digest}' ", 1)
    probed = path.with_name("probed.html")
    probed.write_text(html.replace("<title>", f"<script>{PROBE}</script>{more}<title>", 1), "utf-8")
    return probed


def browse(path: Path, profile: Path) -> tuple[dict, str]:
    """Returns the probe's findings, and the page's lines on the browser's console."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip("no Chromium or Chrome is installed")
    flags = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking")
    flags += ("--window-size=400,900", "--enable-logging=stderr", f"--user-data-dir={profile}")
    command = [browser, *flags, "--dump-dom", path.absolute().as_uri()]
    done = subprocess.run(command, capture_output=True, timeout=120)
    dom = path.with_name("dom.html")
    dom.write_bytes(done.stdout)
    console = [line for line in done.stderr.decode().splitlines() if "CONSOLE" in line]
    return json.loads(parse(dom).one("pre", "probe").text), "\n".join(console)


def test_a_browser_shows_all_of_a_page_and_requests_nothing(tmp_path):
    directory = made_up.run(tmp_path, made_up.NASTY, made_up.few(tmp_path))
    seen, console = browse(with_probe(report.make(directory)), tmp_path / "profile")
    assert seen["problems"] == [] and console == ""
    assert [url for url in seen["asked"] if not url.startswith("data:")] == []
    assert len(seen["images"]) == 8 and min(map(min, seen["images"])) > 30
    assert len(seen["charts"]) == 6 and min(map(min, seen["charts"])) > 100
    assert sum(length > 200 for length in seen["lines"]) == 8  # three more are points
    assert seen["wide"] <= 0  # nothing sticks out of a narrow window


def test_a_click_on_a_title_sorts_and_a_second_one_reverses(tmp_path):
    directory = made_up.run(tmp_path, ("b", "c", "a"), made_up.few(tmp_path))
    seen, _ = browse(with_probe(report.make(directory)), tmp_path / "profile")
    assert seen["sorted"][:3] == [["c", "a", "b"], ["a", "b", "c"], ["c", "b", "a"]]
    assert seen["order"] == [None, "ascending", None, None, None]


def test_loading_and_other_scripts_are_noticed_and_blocked(tmp_path):
    """Checks that the tests above can fail, with a picture from a server and an inline script."""
    tiny_run.write_clips(tmp_path)
    page = report.make(made_up.run(tmp_path, ("a", "b", "c"), made_up.few(tmp_path)))
    more = '<img src="http://localhost:9/x.png" alt=""/><script>alert(1)</script>'
    seen, console = browse(with_probe(page, more), tmp_path / "profile")
    assert any("localhost" in problem for problem in seen["problems"])
    assert any("inline" in problem for problem in seen["problems"])
    assert "Content Security Policy" in console
