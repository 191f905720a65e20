"""Debian's Chromium without a window, and what a reader sees in it."""

import base64
import io
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

LOOK = (Path(__file__).parent / "look.js").read_text()
SWITCHES = (
    "--headless",
    "--no-sandbox",  # root has none
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--no-first-run",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND",  # a page that asks for something is found out, and gets nothing
)


@dataclass(frozen=True)
class View:
    """A page as shown at one width in one colour scheme, all that is folded unfolded."""

    complaints: list[str]
    """What the console says."""
    requests: list[str]
    """What was asked for beside the page itself."""
    excess: int
    """Pixels by which it is wider than the window."""
    paper: float
    """Luminance of the page's background, 0 to 1."""
    texts: list[dict]
    pictures: list[dict]
    shot: Any
    """A `PIL.Image`."""

    def drawn(self, picture):
        """Share of a picture's pixels that have another colour than most of them."""
        x, y, width, height = picture["box"]
        part = self.shot.crop((round(x), round(y), round(x + width), round(y + height)))
        most = max(count for count, _ in part.getcolors(part.width * part.height))
        return 1 - most / (part.width * part.height)


class Browser:
    """Shows pages from files."""

    def __init__(self, driver):
        self.driver = driver

    def look(self, page, width, scheme):
        from PIL import Image

        self._send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self._resize(width, 900)
        self._logged("browser"), self._logged("performance")
        self.driver.get(page.as_uri())
        self.driver.execute_script("document.querySelectorAll('details').forEach(one => one.open = true)")
        seen_width, height = self.driver.execute_script(
            "const page = document.documentElement; return [page.scrollWidth, page.scrollHeight]"
        )
        self._resize(width, height)
        seen = self.driver.execute_script(LOOK)
        shot = Image.open(io.BytesIO(base64.b64decode(self._send("Page.captureScreenshot", format="png")["data"])))
        return View(
            complaints=[entry["message"] for entry in self._logged("browser")],
            requests=[url for url in self._requests() if url != page.as_uri() and not url.startswith("data:")],
            excess=seen_width - width,
            shot=shot.convert("RGB"),
            **seen,
        )

    def _resize(self, width, height):
        self._send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def _send(self, command, **arguments):
        return self.driver.execute_cdp_cmd(command, arguments)

    def _logged(self, kind):
        return self.driver.get_log(kind)

    def _requests(self):
        events = (json.loads(entry["message"])["message"] for entry in self._logged("performance"))
        return [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """One for all tests."""
    programs = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if None in programs:
        expected = "browser" in os.environ.get("GAINFUL_EXPECT_HOSTS", "").split(",")
        (pytest.fail if expected else pytest.skip)("needs the programs chromium and chromedriver; run make browser")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = programs[0]
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    for switch in (*SWITCHES, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(switch)
    driver = webdriver.Chrome(options=options, service=Service(programs[1]))
    yield Browser(driver)
    driver.quit()
