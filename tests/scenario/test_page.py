"""Goal: the page answers first, in a real browser: no script, no complaint in the console, no name that does harm,
readable in light and dark and on a phone."""
import http.client
import re
import urllib.parse

import browser as lib_browser
import pytest
import sealed as module
from daemon import wait_for

pytestmark = pytest.mark.skipif(not lib_browser.AVAILABLE, reason="needs chromium and chromedriver")

# Every text node's colour against the background below it, as WCAG 2 counts contrast; the worst one.
CONTRAST = """
const parse = c => c.match(/[\\d.]+/g).map(Number);
const light = ([r, g, b]) => [r, g, b].map(v => v / 255).map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const under = e => { for (; e; e = e.parentElement) {
    const c = parse(getComputedStyle(e).backgroundColor); if (c.length < 4 || c[3] === 1) return c; } return [255, 255, 255]; };
let worst = [99, ''];
const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walk.nextNode()) {
    const e = walk.currentNode.parentElement, text = walk.currentNode.data.trim();
    if (!text || !e.checkVisibility()) continue;
    const [a, b] = [light(parse(getComputedStyle(e).color)), light(under(e))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < worst[0]) worst = [ratio, text];
}
return worst;
"""


@pytest.fixture(scope="module")
def page(sealed):
    """A browser that is logged in, at the first page."""
    one = lib_browser.Browser()
    try:
        log_in(one, sealed)
        yield one
    finally:
        one.close()


def log_in(browser, sealed):
    browser.go(sealed.url + "/")
    browser.type("input[type=password]", module.TOKEN)
    browser.click("button.main")
    wait_for(lambda: browser.url() == sealed.url + "/" and browser.text(), "the page behind the login")


def fetch(page, url):
    """Status of a link, with the session's cookie, without leaving the page."""
    parts = urllib.parse.urlsplit(url)
    cookie = page.call("GET", "/cookie")[0]
    connection = http.client.HTTPConnection(parts.netloc, timeout=20)
    connection.request("GET", parts.path, headers={"Cookie": f"{cookie['name']}={cookie['value']}"})
    status = connection.getresponse().status
    connection.close()
    return status


def test_the_first_page_says_what_is_going_on(page, sealed):
    page.go(sealed.url + "/")
    text = page.text()
    assert "1 of 1 targets up" in text and "shop / availability" in text
    assert "50 of 100 failed" in text and "evidence" in text and "bundle" in text
    assert "source_down" in text and "state, odd, broken" in text
    assert page.console() == []


def test_the_page_of_a_capture_tells_outcomes_reasons_and_commands(page, sealed):
    page.go(f"{sealed.url}/captures/{sealed.capture['id']}")
    text = page.text()
    assert "50 % good, the objective is 99.9 %" in text
    assert "failed" in text and "exit status 1" in text
    assert f"incidentctl get {sealed.capture['id']} --server {sealed.url} --token-file FILE" in text
    assert "diff -ru artifacts/state/before artifacts/state/after" in text, "the command of a renamed collector's kind"
    assert sealed.capture["sha256"] in text
    assert page.console() == []


def test_hostile_names_are_text(page, sealed):
    for path in ("/", f"/captures/{sealed.capture['id']}"):
        page.go(sealed.url + path)
        assert module.ROUTE in page.run("return document.body.textContent")
        assert page.run("return document.scripts.length + document.images.length") == 0
    assert "<img?src=x?onerror=alert(1)>" in page.run("return document.body.textContent")
    assert page.console() == []


def test_every_link_leads_somewhere(page, sealed):
    page.go(sealed.url + "/")
    links = set(page.links())
    page.go(f"{sealed.url}/captures/{sealed.capture['id']}")
    links |= set(page.links())
    assert len([link for link in links if "/files/" in link]) > 20
    some = [link for link in links if "/files/" not in link or "/odd/" in link or link.endswith("/status")]
    assert {link: status for link in some if (status := fetch(page, link)) != 200} == {}


def test_a_link_from_a_message_leads_there_through_the_login(sealed):
    fresh = lib_browser.Browser()
    try:
        fresh.go(f"{sealed.url}/captures/{sealed.capture['id']}")
        assert "/login" in fresh.url()
        fresh.type("input[type=password]", "wrong")
        fresh.click("button.main")
        wait_for(lambda: "That is not the token." in fresh.text(), "the login page to say so")
        fresh.type("input[type=password]", module.TOKEN)
        fresh.click("button.main")
        wait_for(lambda: fresh.url() == f"{sealed.url}/captures/{sealed.capture['id']}", "the page that was asked for")
        assert fresh.console() == []
    finally:
        fresh.close()


def test_capture_pin_and_delete_by_hand(page, sealed):
    page.go(sealed.url + "/")
    page.run("document.querySelector('select').value = 'shop/availability'")
    page.click("form[action='/forms/capture'] button")
    wait_for(lambda: "Download the bundle" in page.text(), "the page to show the sealed bundle by itself", 20)
    made = page.url().rsplit("/", 1)[1]
    page.click("form[action$='/pin'] button")
    wait_for(lambda: "pinned" in page.text(), "the pin")
    assert page.url().endswith(made)
    assert sealed.api(f"/api/v1/captures/{made}")["pinned"]
    page.click("form[action$='/pin'] button")
    wait_for(lambda: "pinned" not in page.text() and "Pin: keep it" in page.text(), "the end of the pin")
    page.click("details.ask summary")
    page.click("form[action$='/delete'] button")
    wait_for(lambda: page.url() == sealed.url + "/", "the first page")
    assert made not in page.text() and not sealed.bundle({"id": made}).exists()


def test_errors_are_pages(page, sealed):
    page.go(sealed.url + "/captures/zz")
    assert "there is no capture 'zz'" in page.text() and "To the incidents" in page.text()
    page.go(sealed.url + "/nothing")
    assert "404: Not Found" in page.text()
    page.console()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_readable_in_light_and_dark_and_on_a_phone(sealed, dark):
    for width in (1280, 400):
        one = lib_browser.Browser(width, 720, dark)
        try:
            one.go(sealed.url + "/login?wrong=1")
            pages = [one.run(CONTRAST)]
            log_in(one, sealed)
            for path in ("/", f"/captures/{sealed.capture['id']}"):
                one.go(sealed.url + path)
                pages.append(one.run(CONTRAST))
                assert one.run("return document.documentElement.scrollWidth") <= width, f"{path} is wider than the window"
            assert min(pages)[0] >= 4.5, min(pages)
        finally:
            one.close()


def test_guessing_at_the_login_is_slowed(sealed):
    """Last: from this address nobody logs in for the rest of the minute."""
    answers = []
    for _ in range(12):
        connection = http.client.HTTPConnection(module.HOST, sealed.port, timeout=10)
        connection.request("POST", "/login", "token=wrong", {"Content-Type": "application/x-www-form-urlencoded"})
        answer = connection.getresponse()
        answers.append((answer.status, answer.headers["Retry-After"], answer.read()))
        connection.close()
    assert answers[0][0] == 303 and answers[-1][0] == 429
    assert 0 < int(answers[-1][1]) <= 60 and re.search(rb"again in a minute", answers[-1][2])
    assert sealed.api("/api/v1/rules"), "who has the token is not kept waiting"
