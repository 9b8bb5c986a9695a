"""The report in a browser: nothing goes wrong, nothing is fetched, filters, files, phone and paper work.

Needs Chromium or Chrome with its driver on the PATH (Debian, Ubuntu: apt install chromium-driver) and selenium, which
is in the extra "test"; without them every test here is skipped and says so. ``pytest -m browser`` runs these alone.
"""

import base64
import csv
import importlib.util
import io
import os
import shutil
import time

import pytest
from report_records import MACHINE, small_run, time_record, trial_record

from rnnbench.report import page, write_report

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
BROWSER = next((found for name in BROWSERS if (found := shutil.which(name))), None)
DRIVER = shutil.which("chromedriver", path=os.pathsep.join([os.environ.get("CHROMEWEBDRIVER", ""), os.environ["PATH"]]))
HOSTILE = "</script><img src=x onerror=alert(2)> (a)\"'&"
PHONE, DESK = (390, 844), (1280, 800)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(importlib.util.find_spec("selenium") is None, reason="selenium is not installed"),
    pytest.mark.skipif(BROWSER is None or DRIVER is None, reason="no Chromium with chromedriver on the PATH"),
]


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Return the page of a run with two cells, a control, attention and a hostile name."""
    place = tmp_path_factory.mktemp("browser")
    attention = [[0.1, 0.2, 0.7] + [0.0] * 7, [0.5, 0.5] + [0.0] * 8]
    records = [
        *small_run(),
        {**trial_record("gru", "adding", 10, 7, True), "attention": attention},
        trial_record("mlp_window", "adding", 10, 0, True, 0.6),
        trial_record(HOSTILE, HOSTILE, 10, 0, True),
        time_record(HOSTILE, [1e-3, 2e-3, 3e-3], HOSTILE),
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page, "png", lambda figure: b"")
        return write_report(place, records, {**MACHINE, "cpu": HOSTILE}, HOSTILE).as_uri()


@pytest.fixture(scope="module")
def chrome(tmp_path_factory):
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(BROWSER)
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def show(chrome, address, tmp_path):
    """Return a function that opens the page in a size and a system theme and waits until its figures are drawn."""

    def opened(size=DESK, dark=False):
        width, height = size
        screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": size == PHONE}
        chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        theme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": [theme]})
        chrome.execute_cdp_cmd(
            "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path), "eventsEnabled": False}
        )
        chrome.get("about:blank")
        for log in ("browser", "performance"):
            chrome.get_log(log)
        chrome.get(address)
        until_drawn(chrome)
        return chrome

    return opened


def wait(chrome, script, *arguments, seconds=60):
    """Return what ``script`` returns once that is true, or fail."""
    end = time.monotonic() + seconds
    while not (found := chrome.execute_script(script, *arguments)):
        assert time.monotonic() < end, f"never came true: {script}"
        time.sleep(0.05)
    return found


def until_drawn(chrome):
    wait(chrome, "return document.documentElement.dataset.drawn")


def visible(chrome, selector, value):
    """Return the JavaScript expression ``value`` of each element ``e`` that the filters have not hidden."""
    script = f"return [...document.querySelectorAll(arguments[0])].filter(e => !e.hidden).map(e => {value})"
    return chrome.execute_script(script, selector)


def visible_cells(chrome):
    """Return the cells that rows of tables show."""
    return set(visible(chrome, "tbody tr[data-cell]", "e.dataset.cell"))


def choose(chrome, kind, *names):
    """Leave only these boxes of a filter ticked, as a reader does: none, then one after the other."""
    chrome.execute_script(
        """const [kind, names] = arguments;
        document.querySelector(`[data-every=${kind}][value=none]`).click();
        for (const box of document.querySelectorAll(`.filters input[name=${kind}]`)) {
          if (names.includes(box.value)) box.click();
        }""",
        kind,
        names,
    )
    wait(chrome, "return [...document.querySelectorAll('figure:not([hidden]) .chart')].every(c => c.childElementCount"
        " || c.textContent)")  # fmt: skip


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_page_opens_without_a_word_in_the_console_or_a_request(show, size, dark):
    chrome = show(size, dark)
    assert chrome.get_log("browser") == []
    sent = [
        entry["message"] for entry in chrome.get_log("performance") if "Network.requestWillBeSent" in entry["message"]
    ]
    assert len(sent) == 1, sent  # the page itself
    drawn = chrome.execute_script("return document.querySelectorAll('figure .chart svg').length")
    assert drawn == chrome.execute_script("return document.querySelectorAll('figure').length") > 10
    assert chrome.execute_script("return document.documentElement.scrollWidth <= innerWidth")


def test_hostile_names_are_text_in_figures_too(show):
    chrome = show()
    assert chrome.execute_script("return document.querySelectorAll('img, [onerror]').length") == 0
    assert HOSTILE in chrome.execute_script("return document.body.textContent")


def test_filters_act_on_tables_figures_and_cells(show):
    chrome = show()
    assert {"gru", "elman_tanh", "mlp_window"} < visible_cells(chrome)
    choose(chrome, "cell", "gru")
    assert visible_cells(chrome) == {"gru"}
    assert visible(chrome, "details.cell", "e.dataset.cell") == ["gru"]
    legend = (
        "return [...document.querySelectorAll('#figure-score_adding .role-legend-label text')].map(t => t.textContent)"
    )
    wait(chrome, f"return JSON.stringify((() => {{ {legend} }})()) === '[\"gru\"]'")
    assert chrome.execute_script("return document.querySelector('output[data-chosen=cell]').value") == "gru"
    chrome.execute_script("document.querySelector('.filters [type=reset]').click()")
    wait(chrome, "return document.querySelector('output[data-chosen=cell]').value.startsWith('all')")
    assert {"gru", "elman_tanh"} < visible_cells(chrome)
    choose(chrome, "task", "digits_row")
    hidden = "return document.getElementById(arguments[0]).hidden"
    assert chrome.execute_script(hidden, "figure-score_adding")
    assert not chrome.execute_script(hidden, "figure-score_digits_row")
    headings = visible(chrome, "[data-name=verdict] thead th", "e.textContent")
    assert headings[0] == "cell"
    assert not any(text.startswith("adding") for text in headings)
    chrome.execute_script("document.querySelector('.filters [type=reset]').click()")
    choose(chrome, "engine", "rnnbench.cpu")
    assert set(visible(chrome, "tbody tr[data-engine]", "e.dataset.engine")) == {"rnnbench.cpu"}
    assert chrome.get_log("browser") == []


def test_a_filter_that_leaves_nothing_says_so(show):
    chrome = show()
    choose(chrome, "cell")
    assert visible_cells(chrome) == set()
    text = wait(chrome, "return document.querySelector('#figure-pareto .chart').textContent")
    assert text == "The filters leave nothing of this figure."


def saved(chrome, folder, name, selector):
    """Click a button and return the bytes of the file that comes."""
    chrome.execute_script("document.querySelector(arguments[0]).click()", selector)
    end = time.monotonic() + 30
    while not (folder / name).exists():
        assert time.monotonic() < end, f"no file {name}"
        time.sleep(0.05)
    return (folder / name).read_bytes()


def test_every_figure_and_table_comes_as_a_file(show, tmp_path):
    chrome = show(dark=True)
    drawn = "#figure-time_per_step_against_hidden_size_training [data-save={}]"
    svg = saved(chrome, tmp_path, "time_per_step_against_hidden_size_training.svg", drawn.format("svg")).decode()
    assert svg.startswith("<svg")
    assert "Time per step against hidden size, training" in svg
    assert "var(" not in svg  # colours of its own, the light ones
    assert 'fill="white"' in svg
    png = saved(chrome, tmp_path, "time_per_step_against_hidden_size_training.png", drawn.format("png"))
    assert png.startswith(b"\x89PNG")
    assert len(png) > 5000
    text = saved(chrome, tmp_path, "time_per_step_against_hidden_size_training.csv", drawn.format("csv")).decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    ours = {row["H (hidden size H)"]: row for row in rows if (row["cell"], row["contender"]) == ("gru", "rnnbench.cpu")}
    assert float(ours["128"]["median (µs per time step)"]) == pytest.approx(3.3 * 128e-5 / 100 * 1e6)
    choose(chrome, "cell", "gru")
    table = saved(chrome, tmp_path, "verdict.csv", "[aria-labelledby=table-verdict] [data-save=table]").decode()
    (row,) = csv.DictReader(io.StringIO(table))
    assert row["cell"] == "gru"
    assert (row["parameters"], row["training step, ms"]) == ("98688", "4.22")


def test_a_heading_sorts_by_number(show):
    chrome = show()
    headings = "[...document.querySelectorAll('[data-name=verdict] thead button')]"
    chrome.execute_script(f"{headings}.find(b => b.textContent === 'parameters').click()")
    first = "return document.querySelector('[data-name=verdict] tbody tr th').textContent"
    assert chrome.execute_script(first) == "elman_tanh"


def test_the_theme_can_be_switched_without_drawing_again(show):
    chrome = show()
    ground = "return getComputedStyle(document.body).backgroundColor"
    text = "return getComputedStyle(document.querySelector('#figure-memory .role-axis-label text')).fill"
    light = chrome.execute_script(ground), chrome.execute_script(text)
    chrome.execute_script("document.querySelector('#figure-memory svg').dataset.same = 'yes'")
    chrome.execute_script("document.querySelector('.theme input[value=dark]').click()")
    dark = chrome.execute_script(ground), chrome.execute_script(text)
    assert light != dark
    assert (light[0], dark[0]) == ("rgb(245, 246, 248)", "rgb(14, 16, 19)")
    assert chrome.execute_script("return document.querySelector('#figure-memory svg').dataset.same") == "yes"
    chrome.execute_script("document.querySelector('.theme input[value=auto]').click()")
    assert chrome.execute_script(ground) == light[0]


def test_a_link_opens_the_page_of_a_cell_with_its_figures(show):
    chrome = show()
    link = "[...document.querySelectorAll('[data-name=verdict] a')].find(a => a.textContent === 'gru')"
    chrome.execute_script(f"{link}.click()")
    wait(chrome, "return document.querySelector('details.cell[data-cell=gru]').open")
    wait(
        chrome, "return [...document.querySelectorAll('details.cell[open] .chart')].every(c => c.querySelector('svg'))"
    )
    maths = "return document.querySelector('details.cell[open] math').getBoundingClientRect().height"
    assert chrome.execute_script(maths) > 5
    assert chrome.get_log("browser") == []


def test_it_prints_light_without_what_only_a_screen_can_do(show):
    chrome = show(dark=True)
    chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    shown = "return getComputedStyle(document.querySelector(arguments[0])).display"
    for selector in ("nav", ".filters", ".theme", "figure .save", "details.cell"):
        assert chrome.execute_script(shown, selector) == "none", selector
    assert chrome.execute_script("return getComputedStyle(document.body).color") == "rgb(28, 32, 36)"
    pdf = chrome.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})["data"]
    assert base64.b64decode(pdf).startswith(b"%PDF")
