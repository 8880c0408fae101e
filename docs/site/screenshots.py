"""Pictures of the report and of the compare page: `python docs/site/screenshots.py FOLDER`.

It scores the bundled example, writes both pages into the folder, and looks at them with a headless
Chromium: at 1400 and 390 pixels, light and dark, and as they are printed (PDF). Two of the pictures
stand in docs/images: report-1400-light-top and compare-1400-light-images. It needs selenium,
chromium and chromedriver.
"""

from __future__ import annotations

import base64
import os
import shutil
import sys
from pathlib import Path

import example_pages
from selenium import webdriver

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
#: The place of a page's images.
PICTURES = """
const box = (document.querySelector("#pictures") || document.querySelector("#samples"));
const at = box && box.getBoundingClientRect();
return at && [at.x, at.y + scrollY, at.width, at.height];
"""
#: No taller a picture than a graphics driver draws.
TALLEST = 16000


def browser(profile: Path) -> webdriver.Chrome:
    options = webdriver.ChromeOptions()
    options.binary_location = next(filter(None, map(shutil.which, BROWSERS)))
    flags = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
             f"--user-data-dir={profile}", "--hide-scrollbars")  # fmt: skip
    for flag in flags:
        options.add_argument(flag)
    service = webdriver.ChromeService(
        shutil.which("chromedriver"), env={**os.environ, "HOME": str(profile)}
    )
    return webdriver.Chrome(options=options, service=service)


def shoot(driver: webdriver.Chrome, page: Path, folder: Path) -> None:
    """Every picture of one page."""
    for width, scheme in ((1400, "light"), (1400, "dark"), (390, "light"), (390, "dark")):
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        feature = {"name": "prefers-color-scheme", "value": scheme}
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        driver.get(page.resolve().as_uri())
        height = min(driver.execute_script("return document.documentElement.scrollHeight"), TALLEST)
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        areas = {"": clip, "-top": {**clip, "height": 900}}
        if pictures := driver.execute_script(PICTURES):
            areas["-images"] = {
                **dict(zip(("x", "y", "width", "height"), pictures, strict=True)),
                "scale": 1,
            }
        for name, area in areas.items():
            taken = driver.execute_cdp_cmd(
                "Page.captureScreenshot",
                {"format": "png", "clip": area, "captureBeyondViewport": True},
            )
            file = folder / f"{page.stem}-{width}-{scheme}{name}.png"
            file.write_bytes(base64.b64decode(taken["data"]))
        print(f"{page.stem} {width} {scheme}: {height} px")
    paper = {"printBackground": True, "paperWidth": 8.27, "paperHeight": 11.69}
    printed = driver.execute_cdp_cmd("Page.printToPDF", paper)
    (folder / f"{page.stem}.pdf").write_bytes(base64.b64decode(printed["data"]))


def main() -> None:
    """Write pages and pictures into the folder that is named."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    driver = browser(folder / "profile")
    try:
        for page in example_pages.write(folder).values():
            shoot(driver, page, folder)
    finally:
        driver.quit()
        shutil.rmtree(folder / "profile", ignore_errors=True)


if __name__ == "__main__":
    main()
