import base64
import html
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml

PHONE_WIDTH = 390
SVG = "{http://www.w3.org/2000/svg}"
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


class Page(HTMLParser):
    """What a page holds: its tags with attributes, its text, and everything it links to or loads."""

    def __init__(self, path: Path):
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.tags, self.text, self.links, self.loads = [], "", [], []
        self.feed(self.source)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        for name, value in attributes:
            if tag == "a" and name == "href":
                self.links.append(value)
            elif name in ("src", "href", "xlink:href", "srcset", "data", "action", "poster", "background"):
                self.loads.append(value)
            else:
                self.loads += re.findall(r"url\(\s*['\"]?([^)'\"]*)", value or "")

    def handle_data(self, data):
        if self.lasttag == "style":
            self.loads += re.findall(r"url\(\s*['\"]?([^)'\"]*)|(@import)", data)
        self.text += data

    def count(self, tag):
        return sum(name == tag for name, _ in self.tags)

    @property
    def pictures(self):
        """The bytes of each picture."""
        prefix = "data:image/png;base64,"
        sources = [attributes["src"] for name, attributes in self.tags if name == "img"]
        assert all(source.startswith(prefix) for source in sources)
        return [base64.b64decode(source.removeprefix(prefix)) for source in sources]

    @property
    def tables(self):
        """The text of each cell, by table and row."""
        tables = re.findall(r"<table.*?</table>", self.source, re.DOTALL)
        return [
            [
                [
                    html.unescape(re.sub(r"<.*?>", "", cell)).strip()
                    for cell in re.findall(r"<t[hd].*?</t[hd]>", row, re.DOTALL)
                ]
                for row in re.findall(r"<tr.*?</tr>", table, re.DOTALL)
            ]
            for table in tables
        ]


class Chart:
    """A chart read back: its words, and its points in the numbers of its axes."""

    def __init__(self, svg):
        self.root = ElementTree.fromstring(svg)
        self.texts = ["".join(text.itertext()).strip() for text in self.root.iter(f"{SVG}text")]

    def group(self, name):
        return next(group for group in self.root.iter(f"{SVG}g") if group.get("id") == name)

    def ticks(self, axis):
        """Returns positions and numbers of an axis's ticks."""
        groups = [group for group in self.root.iter(f"{SVG}g") if group.get("id", "").startswith(f"{axis}tick_")]
        groups = [group for group in groups if "".join(group.itertext()).strip()]  # not all have a number
        uses = [next(group.iter(f"{SVG}use")) for group in groups]
        numbers = [float("".join(group.itertext()).strip().replace("−", "-")) for group in groups]
        return np.array([float(use.get(axis)) for use in uses]), np.array(numbers)

    def read(self, axis, positions, scale=lambda numbers: numbers, back=lambda numbers: numbers):
        at, numbers = self.ticks(axis)
        assert len(at) >= 2
        return back(np.polyval(np.polyfit(at, scale(numbers), 1), positions))

    def line(self, name):
        path = next(self.group(name).iter(f"{SVG}path")).get("d")
        return np.array(re.findall(r"[ML] ([\d.]+) ([\d.]+)", path), float).T

    def point(self, name):
        use = next(self.group(name).iter(f"{SVG}use"))
        return float(use.get("x")), float(use.get("y"))


@pytest.fixture
def read_page():
    return Page


@pytest.fixture
def read_chart():
    return Chart


@pytest.fixture
def width_on_a_phone(tmp_path):
    """Renders a page in a frame of a phone's width and tells how wide what is in it is."""
    if CHROMIUM is None:
        pytest.skip("there is no chromium")

    def measure(source: str) -> int:
        frame = tmp_path / "frame.html"
        # A window of the browser cannot be that narrow; a frame can.
        frame.write_text(
            f'<iframe style="width: {PHONE_WIDTH}px; height: 844px; border: 0" srcdoc="{html.escape(source)}"></iframe>'
            "<script>onload = () => document.body.dataset.width ="
            "document.querySelector('iframe').contentDocument.documentElement.scrollWidth</script>",
            encoding="utf-8",
        )
        finished = subprocess.run(
            [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
             f"--user-data-dir={tmp_path / 'browser'}", "--dump-dom", frame.as_uri()],
            capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
        return int(re.search(r'data-width="(\d+)"', finished.stdout)[1])

    return measure


@pytest.fixture
def write_job(tmp_path):
    """Writes a sweep's job by hand; returns its folder."""

    def write(name: str, overrides: list[str], results: dict | None, sweep: Path | None = None) -> Path:
        folder = (sweep or tmp_path / "sweep") / name
        (folder / ".hydra").mkdir(parents=True)
        (folder / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump(overrides), encoding="utf-8")
        if results is not None:
            (folder / "results.json").write_text(json.dumps(results), encoding="utf-8")
        if results and results.get("status") == "completed":
            (folder / "report.html").touch()
        return folder

    return write
