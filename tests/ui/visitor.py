"""A person's browser: pages of the panel, watched for errors and for what they ask of whom."""

import contextlib
import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, Response, WebSocketRoute, expect
from playwright.sync_api import TimeoutError as TookTooLong

from tests.ui.allowed import AWAY, CONSOLE

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]
WAIT_MS = 60_000  # for what a page draws: a busy machine takes its time
GRACE_MS = 15_000  # the parts of a page follow each other
LOOK_MS = 100  # a page that is not in front draws no frames, which Playwright would wait for
WIDE, NARROW = (1280, 900), (390, 844)
STANDS = "document.querySelector('[data-testid=stApp]')?.dataset.testScriptState === 'notRunning'"
# The page itself never overflows: it is its main part that would be scrolled sideways.
OVERHANG = """() => [document.documentElement, document.querySelector('[data-testid=stMain]')]
    .map(e => e.scrollWidth - e.clientWidth)"""
UNFOLDED = """name => {
    const parts = [...document.querySelectorAll('details')];
    const part = parts.find(e => e.querySelector('summary').innerText.includes(name));
    return part && part.open && !part.getAnimations().length;
}"""
TABLE = """name => {
    const tables = [...document.querySelectorAll('[data-testid=stDataFrameResizable]')];
    const grid = tables.find(e => e.getAttribute('aria-label') === name)?.querySelector('table[role=grid]');
    const rows = [...(grid?.querySelectorAll('tr') || [])].map(row => [...row.children].map(e => e.textContent));
    return rows.length > 1 && rows;
}"""
ROW_PX, MARKER_PX = 35, 17  # of Streamlit's tables: the height of a row, and where its box is ticked
LOCAL = ("data:", "blob:", "about:")  # not asked of anybody


@dataclass
class Visitor:
    """One browser profile. `complaints`: all that the console and the network said against its pages."""

    context: BrowserContext
    url: str
    token: str
    complaints: list[str] = field(default_factory=list)
    foreign: set[str] = field(default_factory=set)
    expected_away: bool = False

    @classmethod
    def of(cls, browser: Browser, url: str, token: str, *, size: tuple[int, int] = WIDE, theme: Any = "light"):
        context = browser.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme=theme)
        context.set_default_timeout(WAIT_MS)
        expect.set_options(timeout=WAIT_MS)
        return cls(context=context, url=url, token=token)

    def page(self) -> Page:
        """Another tab."""
        page = self.context.new_page()
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.complaints.append(f"uncaught: {error}"))
        page.on("response", self._answered)
        page.on("request", lambda request: self._asked(request.url))
        page.on("websocket", lambda socket: self._asked(socket.url))
        return page

    def logged_in(self, path: str = "", **query: str) -> Page:
        """A tab of somebody who came by the link that the stack prints."""
        page = self.page()
        self.go(page, path, token=self.token, **query)
        return page

    def go(self, page: Page, path: str = "", **query: str) -> None:
        """To an address of the panel."""
        page.goto(f"{self.url}/{path}" + (f"?{urlencode(query)}" if query else ""))
        self.stands(page)

    @staticmethod
    def stands(page: Page) -> None:
        """Wait until the page's script has run to its end, and again should that have led to another run."""
        for _ in range(2):
            told(page, STANDS, "the script of the page has run to its end")
            page.wait_for_timeout(250)

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """Inside the block its server is not there, and pages may say so."""
        self.expected_away = True
        yield
        self.expected_away = False

    def shows_no_fault(self, page: Page) -> None:
        """Neither Streamlit's picture of an exception nor anything that was complained about so far."""
        expect(page.get_by_test_id("stException")).to_have_count(0)
        assert self.complaints == []
        assert self.foreign == set(), "asked of somebody else than the panel"

    def close(self) -> None:
        self.context.close()

    def _said(self, message: ConsoleMessage) -> None:
        if message.type != "error":
            return
        self._complain(f"{message.text} {message.location.get('url', '')}")

    def _answered(self, response: Response) -> None:
        if response.status >= 400:
            self._complain(f"{response.status} {response.request.method} {response.url}")

    def _complain(self, text: str) -> None:
        lists = (*CONSOLE, *(AWAY if self.expected_away else ()))
        # The console's own words for a refused request have the status first and the address last, as ours have.
        plain = text.replace("Failed to load resource: the server responded with a status of ", "")
        if not any(one.covers(plain) for one in lists):
            self.complaints.append(text)

    def _asked(self, url: str) -> None:
        if not url.startswith(LOCAL) and urlsplit(url).netloc != urlsplit(self.url).netloc:
            self.foreign.add(url)


class Sleeper:
    """A laptop under a page: while it sleeps no WebSocket of the page lives, and none can be opened."""

    def __init__(self, page: Page) -> None:
        self._open: list[WebSocketRoute] = []
        self._asleep = False
        page.route_web_socket(lambda url: True, self._connect)

    def sleep(self) -> None:
        self._asleep = True
        for route in self._open:
            route.close()
        self._open.clear()

    def wake(self) -> None:
        self._asleep = False

    def _connect(self, route: WebSocketRoute) -> None:
        if self._asleep:
            route.close()
            return
        route.connect_to_server()
        self._open.append(route)


def told(page: Page, expression: str, what: str, argument: Any = None, within_ms: float = WAIT_MS) -> Any:
    """What a condition, or a function of `argument`, in the page comes to once it is true. Playwright's `evaluate`
    waits for ever for a page that hangs; this fails with `what` was waited for."""
    try:
        found = page.wait_for_function(expression, arg=argument, timeout=within_ms, polling=LOOK_MS)
    except TookTooLong:
        raise AssertionError(f"not within {within_ms / 1000:g} s: {what}; the page is {page.url}") from None
    return found.json_value()


def overhang(page: Page) -> int:
    """Pixels by which the page is wider than its window."""
    return max(told(page, OVERHANG, "how wide the page is"))


def written(page: Page, label: str, text: str) -> None:
    """Types into a field and leaves it, as a person would."""
    box = page.get_by_label(label, exact=True)
    box.fill(text)
    box.press("Control+Enter" if box.and_(page.locator("textarea")).count() else "Enter")
    Visitor.stands(page)


def table(page: Page, name: str) -> list[dict[str, str]]:
    """The rows of a table that are in view, by its headings; it is drawn as a picture, with a table behind it."""
    page.get_by_role("region", name=name, exact=True).scroll_into_view_if_needed()
    headings, *rows = told(page, TABLE, f"rows in the table {name!r}", name)
    return [dict(zip(headings, row, strict=True)) for row in rows]


def comes_to(page: Page, look: Callable[[], Any], wanted: Any) -> None:
    """Fails where what one looks at does not become what is wanted."""
    end_s = time.monotonic() + GRACE_MS / 1000
    while (found := look()) != wanted and time.monotonic() < end_s:
        page.wait_for_timeout(LOOK_MS)
    assert found == wanted, f"{found!r}, not {wanted!r}"


def tick(page: Page, name: str, *numbers: int) -> None:
    """Chooses rows of a table."""
    grid = page.get_by_role("region", name=name, exact=True)
    for number in numbers:
        grid.click(position={"x": MARKER_PX, "y": ROW_PX * (number + 1.5)})
        Visitor.stands(page)


def choose(page: Page, label: str, option: str = "", tries: int = 5) -> str:
    """Takes one of a list (the first), and returns it. A list closes where the page moves below it; it is opened again,
    as a person would."""
    found = page.get_by_role("option", name=option).first if option else page.get_by_role("option").first
    for left in reversed(range(tries)):
        page.get_by_label(label, exact=True).click()
        try:
            chosen = found.inner_text(timeout=3000)
            found.click(timeout=3000)
            break
        except TookTooLong:
            if not left:
                raise
    Visitor.stands(page)
    return chosen


def press(page: Page, name: str) -> None:
    """A button, or one of a few side by side."""
    page.get_by_role("button", name=name, exact=True).or_(page.get_by_role("radio", name=name, exact=True)).click()
    Visitor.stands(page)


def unfold(page: Page, name: str) -> None:
    """Opens a folded part and waits until it has its height: a list that is opened over what still moves is closed."""
    page.get_by_text(name).click()
    told(page, UNFOLDED, f"{name!r} is open", name)


def state(page: Page, name: str) -> Locator:
    """The badge of the run; its icon is a word before the state's."""
    return page.get_by_text(re.compile(rf"^\w* ?{name}$"))


def until(page: Page, found: Locator, within_s: float, what: str) -> None:
    """Wait for what a run comes to; nothing is clicked meanwhile. What does not come with the run's end never does."""
    over = state(page, "(Failed|Succeeded)")
    try:
        found.or_(over).filter(visible=True).first.wait_for(timeout=within_s * 1000)
        found.filter(visible=True).first.wait_for(timeout=GRACE_MS)
    except TookTooLong:
        when = "before the run's end" if over.is_visible() else f"within {within_s:g} s"
        raise AssertionError(f"not {when}: {what}; the page says {seen(page)}") from None


def seen(page: Page) -> str:
    """The page's text, for a failure's message."""
    return json.dumps(page.locator("[data-testid=stMain]").inner_text()[:1500])
