"""Reports in headless Chromium, at the width of a desktop and of a phone, light and dark."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest

from cmdmetric.preflight.finding import finding
from cmdmetric.report.write import write_report
from cmdmetric.scoring.statistics import score_of
from cmdmetric.scoring.together import Scored
from tests.support.reports import sides

webdriver = pytest.importorskip("selenium.webdriver")
BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (BROWSER and DRIVER), reason="no chromium and chromedriver to look at the report with"
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    profile = tmp_path_factory.mktemp("profile")
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                 f"--user-data-dir={profile}"):  # fmt: skip
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(DRIVER, env={**os.environ, "HOME": str(profile)})
    driver = webdriver.Chrome(options=options, service=service)
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("reports")
    long = "caption" * 60
    hostile = [f"{i} </script><script>window.hacked=1</script> {long}" for i in range(120)]
    f, r, l = sides(120, texts=hostile, names=[f"{long}-{i}.png" for i in range(120)])
    severities = ("error", "warning", "note")
    findings = [finding(severity, "x", "generated", long, hostile) for severity in severities]
    write_report(Scored(score_of(f, r, l), f, r, l), folder / "full.html", findings)
    bare = [type(side)(side.moments, long) for side in (f, r, l)]
    write_report(Scored(score_of(*bare), *bare), folder / "moments.html")
    return {path.stem: path.as_uri() for path in folder.iterdir()}


def show(browser: webdriver.Chrome, url: str, width: int, scheme: str = "light") -> None:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    browser.get(url)
    # Smooth scrolling would have clicks miss what still moves.
    browser.execute_script("document.documentElement.style.scrollBehavior = 'auto'")
    browser.execute_script(
        "for (const fold of document.querySelectorAll('details')) fold.open = true"
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("name", ["full", "moments"])
def test_no_errors_no_overflow_enough_contrast(
    browser: webdriver.Chrome, pages: dict[str, str], name: str, width: int, scheme: str
) -> None:
    show(browser, pages[name], width, scheme)
    assert browser.get_log("browser") == []
    assert browser.execute_script("return window.hacked === undefined")
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    low = browser.execute_script(CONTRAST)
    assert low == []


#: Every text whose colour is less than 4.5 times as bright (or dark) as what is behind it.
CONTRAST = """
const channel = (v) => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
const numbers = (c) => c.match(/[\\d.]+/g).map(Number);
const light = ([r, g, b]) => .2126 * channel(r) + .7152 * channel(g) + .0722 * channel(b);
const found = [];
for (const e of document.querySelectorAll("body *")) {
  const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
  if (!own || !e.getClientRects().length || ["SCRIPT", "STYLE"].includes(e.tagName)) continue;
  const style = getComputedStyle(e);
  const ink = numbers(e instanceof SVGElement ? style.fill : style.color);
  let behind = e, ground = [0, 0, 0, 0];
  while (behind && (ground[3] === 0)) {
    ground = numbers(getComputedStyle(behind).backgroundColor);
    if (ground.length === 3) ground.push(1);
    behind = behind.parentElement;
  }
  const [a, b] = [light(ink), light(ground)].sort((x, y) => y - x);
  if ((a + .05) / (b + .05) < 4.5) found.push([e.tagName, e.textContent.slice(0, 40), ink, ground]);
}
return found;
"""


def test_points_show_what_they_are(browser: webdriver.Chrome, pages: dict[str, str]) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    show(browser, pages["full"], 1280)
    panel = browser.find_element("id", "panel")
    assert "arrow" in panel.text
    point = browser.find_elements("css selector", ".view-1 [id$='-f'] use")[7]
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", point)
    ActionChains(browser).move_to_element(point).perform()
    browser.implicitly_wait(2)
    # The generated image, the real one and the caption of all three, as text.
    assert len(panel.find_elements("css selector", "img")) == 2
    assert (
        "</script><script>window.hacked=1"
        in panel.find_element("css selector", "q, blockquote").text
    )
    assert len(browser.find_elements("css selector", ".view-1 .halo")) == 3


def test_points_by_keyboard(browser: webdriver.Chrome, pages: dict[str, str]) -> None:
    from selenium.webdriver.common.keys import Keys

    show(browser, pages["full"], 1280)
    canvas = browser.find_element("css selector", ".view-1 .canvas")
    panel = browser.find_element("id", "panel")
    reached = set()
    for key in (Keys.ARROW_RIGHT, Keys.ARROW_UP, Keys.ARROW_UP, Keys.ARROW_LEFT):
        canvas.send_keys(key)
        reached.add(panel.text)
    assert len(reached) >= 3
    canvas.send_keys(Keys.ESCAPE)
    assert "arrow" in panel.text


def test_sets_and_views_can_be_switched(browser: webdriver.Chrome, pages: dict[str, str]) -> None:
    show(browser, pages["full"], 360)
    first = "return document.querySelector('.view-1 [id$=\"-r\"] use').getClientRects().length"
    assert browser.execute_script(first) == 1
    browser.find_element("css selector", "[data-side=r]").click()
    assert browser.execute_script(first) == 0
    other = "return document.querySelector('.view-0 [id$=\"-f\"] use').getClientRects().length"
    assert browser.execute_script(other) == 0
    browser.find_element("css selector", "label[for=view-0]").click()
    assert browser.execute_script(other) == 1


def test_images_are_sorted_folded_and_enlarged(
    browser: webdriver.Chrome, pages: dict[str, str]
) -> None:
    from selenium.webdriver.support.select import Select

    show(browser, pages["full"], 1280)
    visible = (
        "return [...document.querySelectorAll('#images li')].filter(e => e.offsetParent).length"
    )
    total = len(browser.find_elements("css selector", "#images li"))
    assert browser.execute_script(visible) == 12 < total
    browser.find_element("id", "more").click()
    assert browser.execute_script(visible) == total
    order = "return [...document.querySelectorAll('#images li')].map(e => Number(e.dataset.%s))"
    for value, key, falling in (("-harm", "harm", True), ("harm", "harm", False),
                                ("fit", "fit", False), ("-fit", "fit", True)):  # fmt: skip
        Select(browser.find_element("id", "sort")).select_by_value(value)
        found = browser.execute_script(order % key)
        assert found == sorted(found, reverse=falling)
    image = browser.find_element("css selector", "#images img")
    browser.execute_script("arguments[0].click()", image)
    assert len(browser.find_elements("css selector", "dialog[open] img")) == 2
