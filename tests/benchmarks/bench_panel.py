"""The panel in a real browser, on a real orchestrator with 10,000 runs and one with what is kept of 100,000 reports:
first paint, reruns, a change of a run on the screen, and what 50 open tabs cost.

Goals: painted in 2 s, a rerun in 300 ms, a change on the screen in 1 s. `python -m tests.benchmarks.bench_panel
[RUNS]`; Chromium must be installed. A tab that is open is a session of the panel's WebSocket, as a browser makes one.
"""

import contextlib
import json
import math
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import sqlalchemy as sa
from playwright.sync_api import Page, sync_playwright
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import ClientConnection, connect

from retain.orchestrator.v1 import orchestrator_service_pb2 as pb
from services.orchestrator.adapters.database import connect as open_engine
from services.orchestrator.adapters.repository import SqlRepository
from services.orchestrator.adapters.tables import metric_points
from services.orchestrator.application.ports import NewRun
from services.orchestrator.domain.metrics.points import BUCKETS, Slot
from tests.benchmarks.bench_orchestrator import cpu_s, fill, server, wait_until_serving
from tests.fakes.orchestrator_service import FakePlatform
from tests.identity import ADMIN
from tests.integration.panel.served import CHROMIUM, FLAGS, served_panel
from tests.ports import free_port
from tests.scenarios.scenario_runner import training
from ui.client.address import Address
from ui.client.client import RetainClient

REPORTS, STEPS_OF_A_STAGE = 100_000, 100_000
TIMES, TABS, WATCHED_S = 7, 50, 30.0
OPENED_S, BETWEEN_S, DRAWN_S, SETTLED_S = 120.0, 0.3, 60.0, 15.0  # at most: all tabs are opened, and drawn
CHANGE_EVERY_S = 6.0  # longer than a tab among 50 takes to look
MESSAGES_AT_ONCE = 200  # that a tab reads before the next one's turn
OPEN = "open-run"  # the run that is looked at
WAIT_MS = 60_000
SHOWN = b"created 19"  # on the page of the run, which is as old as Unix time
GOALS = {"painted": 2.0, "rerun": 0.3, "change": 1.0}

# Before a page's own scripts: `window.ranWhole` is called when a run of the whole script has ended. The state that the
# page tells of itself does not do: it never says that it runs where a run has ended before the page is drawn.
NOTED = """(() => {
  const FINISHED = 6 << 3;  // the field script_finished of a ForwardMsg; 0: successfully, and no fragment
  const ended = (bytes) => {
    let at = 0;
    const number = () => {
      let value = 0, shift = 0, byte;
      do { byte = bytes[at++]; value += (byte & 127) * 2 ** shift; shift += 7; } while (byte > 127);
      return value;
    };
    while (at < bytes.length) {
      const tag = number(), value = number();
      if (tag === FINISHED) return value === 0;
      if ((tag & 7) === 2) at += value;
    }
    return false;
  };
  const Socket = window.WebSocket;
  window.WebSocket = class extends Socket {
    constructor(...given) {
      super(...given);
      this.addEventListener('message', (told) => { if (ended(new Uint8Array(told.data))) window.ranWhole?.(); });
    }
  };
})()"""
# Resolves with the milliseconds from the key until the run of the script that it began has ended, what came of it is
# painted, and the browser has nothing to do any more.
RERUN = """() => new Promise((done) => {
  let began = null, changed = 0;
  document.addEventListener('keydown', () => { began = performance.now(); }, {once: true, capture: true});
  const watch = new MutationObserver(() => { changed += 1; });
  watch.observe(document.body, {attributes: true, characterData: true, childList: true, subtree: true});
  const settle = () => {
    const before = changed;
    requestAnimationFrame(() => requestAnimationFrame(() => requestIdleCallback(() => {
      if (changed !== before) return settle();
      watch.disconnect();
      done(performance.now() - began);
    })));
  };
  window.ranWhole = () => { if (began !== null) { window.ranWhole = null; settle(); } };
})"""


def keep_open_run(url: str) -> None:
    """A run that goes on, with every point that may be kept of it."""
    engine = open_engine(url)
    runner = training()
    SqlRepository(engine).create(NewRun(state=replace(runner.state, id=OPEN), request_id=None, request_digest=""))
    every = STEPS_OF_A_STAGE // BUCKETS
    rows = [
        {
            "run_id": OPEN, "stage_index": stage, "bucket": bucket, "slot": int(slot), "attempt": 1,
            "step": bucket * every + 1 + int(slot), "tokens": 1024 * (bucket * every + 1),
            "time_s": 1.7e9 + bucket,
            "figures": json.dumps({"train_loss_nats": 8 / (1 + bucket), "tokens_per_second": 1e3}),
        }
        for stage in range(len(runner.state.stages)) for bucket in range(BUCKETS) for slot in Slot
    ]  # fmt: skip
    with engine.begin() as connection:
        for begin in range(0, len(rows), 500):
            connection.execute(sa.insert(metric_points), rows[begin : begin + 500])
    engine.dispose()


def painted_s(page: Page, url: str, wanted: str) -> tuple[float, float]:
    """Seconds from the request to the first paint that the browser tells, and until what is wanted stands there and the
    script has run to its end."""
    began_s = time.perf_counter()
    page.goto(url)
    page.get_by_text(wanted).first.wait_for(timeout=WAIT_MS)
    page.wait_for_function(
        "document.querySelector('[data-testid=stApp]')?.dataset.testScriptState === 'notRunning'", timeout=WAIT_MS
    )
    whole_s = time.perf_counter() - began_s
    first_ms = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? NaN")
    return first_ms / 1000, whole_s


def rerun_s(page: Page) -> float:
    """Seconds of a run of the page's whole script that a person asks for, until it is painted."""
    page.evaluate(f"window.took = ({RERUN})(); 0")
    page.locator("body").press("r")
    return float(page.evaluate("window.took")) / 1000


def change_s(page: Page, client: RetainClient, number: int) -> float:
    """Seconds from the server's answer to a change until it stands on the open page, which is asked at each frame: a
    locator's own questions lie half a second apart after some."""
    client.update(OPEN, {"labels.seen": f"change-{number}"})
    began_s = time.perf_counter()
    page.wait_for_function(
        "text => document.querySelector('[data-testid=stMain]').textContent.includes(text)",
        arg=f"change-{number}",
        timeout=WAIT_MS,
        polling="raf",
    )
    return time.perf_counter() - began_s


class Tab:
    """A session as the page in a browser keeps it: it reads what comes, and asks for a part of the page again as often
    as it was told to."""

    def __init__(self, socket: ClientConnection, query: str, page: str) -> None:
        self._socket, self._query, self._page = socket, query, page
        self._due: dict[str, tuple[float, float]] = {}  # part of the page -> (when, every so many seconds)
        self._waits_for: tuple[bytes, float] | None = None
        self.messages = self.size = 0
        self.drawn = False
        self.took_s: list[float] = []
        self._ask()

    @property
    def every_s(self) -> float:
        """Seconds between two questions of this tab."""
        return min((every_s for _, every_s in self._due.values()), default=math.inf)

    def wait_for(self, words: str) -> None:
        """From now on it is measured how long it takes until this stands on the page."""
        self._waits_for = words.encode(), time.monotonic()

    def turn(self) -> None:
        """Reads what is there, within bounds, and asks for what is due."""
        with contextlib.suppress(TimeoutError):
            for _ in range(MESSAGES_AT_ONCE):
                self._read(self._socket.recv(timeout=0))
        for part, (at_s, every_s) in list(self._due.items()):
            if time.monotonic() >= at_s:
                self._due[part] = time.monotonic() + every_s, every_s
                self._ask(part)

    def _read(self, raw: str | bytes) -> None:
        assert isinstance(raw, bytes)
        told = ForwardMsg()
        told.ParseFromString(raw)
        self.messages += 1
        self.size += len(raw)
        match told.WhichOneof("type"):
            case "auto_rerun":
                part, every_s = told.auto_rerun.fragment_id, told.auto_rerun.interval
                if self._due.get(part, (0.0, 0.0))[1] != every_s:  # as the page does: the same again changes nothing
                    self._due[part] = time.monotonic() + every_s, every_s
            case "stop_auto_rerun":
                for part in told.stop_auto_rerun.fragment_ids:
                    self._due.pop(part, None)
            case "delta" if SHOWN in raw:
                self.drawn = True
            case "delta" if self._waits_for is not None and self._waits_for[0] in raw:
                self.took_s.append(time.monotonic() - self._waits_for[1])
                self._waits_for = None

    def _ask(self, part: str = "") -> None:
        message = BackMsg()
        message.rerun_script.query_string = self._query
        message.rerun_script.page_name = self._page
        if part:
            message.rerun_script.fragment_id, message.rerun_script.is_auto_rerun = part, True
        self._socket.send(message.SerializeToString())


@contextlib.contextmanager
def open_tabs(url: str, count: int, cookie: str, query: str, page: str) -> Iterator[list[Tab]]:
    """So many sessions that have asked for a page, opened one after another as people do; or as many as the panel lets
    in within the time for it."""
    until_s, opened = time.monotonic() + OPENED_S, list[Tab]()
    with contextlib.ExitStack() as stack:
        while len(opened) < count and (left_s := until_s - time.monotonic()) > 0:
            with contextlib.suppress(TimeoutError):
                socket = connect(
                    f"{url.replace('http', 'ws', 1)}/_stcore/stream",
                    origin=url,  # type: ignore[arg-type]
                    subprotocols=["streamlit"],  # type: ignore[list-item]
                    max_size=None,
                    compression=None,
                    ping_interval=None,  # a panel that has no time for its tabs is measured too
                    open_timeout=left_s,
                    close_timeout=1,
                    additional_headers={"Cookie": cookie},
                )
                opened.append(Tab(stack.enter_context(socket), query, page))
            live_for(opened, BETWEEN_S)
        yield opened


def live_for(opened: list[Tab], seconds: float, done: Callable[[], bool] = lambda: False) -> None:
    """Keep the tabs open for so long, or until something is done."""
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s and not done():
        for tab in opened:
            tab.turn()
        time.sleep(0.02)


def tabs(url: str, panel: psutil.Process, orchestrator: int, cookie: str, client: RetainClient) -> None:
    """Processor time and memory of 50 sessions with a run open that goes on: while nothing happens, and while it
    changes. Every wait has an end, so that a panel that cannot bear them is measured too."""
    before_mb = panel.memory_info().rss / 1e6
    with open_tabs(url, TABS, cookie, f"run={OPEN}", "run") as opened:
        live_for(opened, DRAWN_S, lambda: all(tab.drawn for tab in opened))
        drawn = sum(tab.drawn for tab in opened)
        print(
            f"{drawn} of {TABS} tabs of a run that goes on are drawn; the panel holds {before_mb:.0f} MB without them"
        )
        if not drawn:
            raise SystemExit("no tab was drawn")
        live_for(opened, SETTLED_S)
        for what, change_every_s in (("nothing happens", math.inf), ("it changes", CHANGE_EVERY_S)):
            _watched(what, opened, client, panel.pid, orchestrator, change_every_s)
        print(f"  {(panel.memory_info().rss / 1e6 - before_mb) / len(opened):.1f} MB of the panel for each", flush=True)


def _watched(
    what: str, opened: list[Tab], client: RetainClient, panel: int, orchestrator: int, change_every_s: float
) -> None:
    """What the tabs cost for a while in which the run changes so often."""
    before = cpu_s(panel), cpu_s(orchestrator), sum(tab.messages for tab in opened), sum(tab.size for tab in opened)
    began_s, changes = time.monotonic(), 0
    for tab in opened:
        tab.took_s.clear()
    while (now_s := time.monotonic()) < began_s + WATCHED_S:
        if change_every_s < math.inf and now_s >= began_s + changes * change_every_s:
            changes += 1
            words = f"change{changes:03}"  # without a sign that Markdown would have escaped
            client.update(OPEN, {"labels.seen": words})
            for tab in opened:
                tab.wait_for(words)
        live_for(opened, 0.1)
    seconds, each = time.monotonic() - began_s, len(opened)
    after = cpu_s(panel), cpu_s(orchestrator), sum(tab.messages for tab in opened), sum(tab.size for tab in opened)
    used_panel, used_orchestrator, messages, size = (
        (now - then) / seconds for now, then in zip(after, before, strict=True)
    )
    every_s = statistics.median(tab.every_s for tab in opened)
    print(f"  {what}: panel {used_panel:.2f} cores, orchestrator {used_orchestrator:.2f} cores")
    print(
        f"    each looks every {every_s:g} s; {messages / each:.1f} messages, {size / each / 1e3:.1f} KB a second came"
    )
    took = sorted(took_s for tab in opened for took_s in tab.took_s)
    if changes:
        times = f", after {statistics.median(took):.2f} s, at worst {took[-1]:.2f} s" if took else ""
        print(f"    a change stood on the page {len(took)} of {changes * each} times{times}", flush=True)


def line(what: str, seconds: list[float], goal: str, cost: str = "") -> None:
    """The median and the worst of some times, beside the goal and what each cost the processor."""
    found = f"{statistics.median(seconds):7.3f} s   worst {max(seconds):7.3f} s   goal {GOALS[goal]:g} s"
    print(f"{what:32} {found}{cost}", flush=True)


class Costs:
    """Processor time of panel and orchestrator: other work on the machine lengthens it less than waiting."""

    def __init__(self, panel: int, orchestrator: int) -> None:
        self._pids = (panel, orchestrator)
        self._before = self._now()

    def _now(self) -> tuple[float, float]:
        return cpu_s(self._pids[0]), cpu_s(self._pids[1])

    def each(self, count: int) -> str:
        """Of each of so many things since the last question."""
        before, self._before = self._before, self._now()
        panel, orchestrator = (1000 * (now - then) / count for now, then in zip(self._before, before, strict=True))
        return f"   processor: panel {panel:.0f} ms, orchestrator {orchestrator:.0f} ms"


def pages(url: str, client: RetainClient, costs: Costs) -> str:
    """What a person waits for. Returns the cookies of whoever is logged in."""
    run_url = f"{url}/run?run={OPEN}"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        context = browser.new_context(viewport={"width": 1360, "height": 1200})
        context.add_init_script(NOTED)
        page = context.new_page()
        painted_s(page, f"{url}/?token={ADMIN}", "Runs")
        for name, address, wanted in (("all pipelines", url, "newest first"), ("a run", run_url, "created 19")):
            costs.each(1)
            found = [painted_s(page, address, wanted) for _ in range(TIMES)]
            cost = costs.each(TIMES)
            line(f"{name}: first paint", [first for first, _ in found], "painted")
            line(f"{name}: drawn to its end", [whole for _, whole in found], "painted", cost)
            took = [rerun_s(page) for _ in range(TIMES)]
            line(f"{name}: rerun", took, "rerun", costs.each(TIMES))
        line("a change of the run on its page", [change_s(page, client, number) for number in range(TIMES)], "change")
        cookies = "; ".join(f"{one['name']}={one['value']}" for one in context.cookies())
        browser.close()
    return cookies


def main() -> None:
    if CHROMIUM is None:
        raise SystemExit("required: chromium is not installed (apt-get install chromium)")
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    evaluator, port = FakePlatform(), free_port()
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        database = f"sqlite:///{Path(folder) / 'bench.db'}"
        fill(database, runs)
        keep_open_run(database)
        stack.callback(evaluator.stop)
        address, pid = stack.enter_context(server(database))
        names = Address(orchestrator=address, evaluator=evaluator.start(), token=ADMIN)
        environ = {
            **os.environ, "RETAIN_SERVER": address, "RETAIN_EVALUATOR": names.evaluator, "RETAIN_HOME": folder,
            "RETAIN_PANEL_PORT": str(port),
        }  # fmt: skip
        client = stack.enter_context(RetainClient(names))
        wait_until_serving(lambda: client._runs.GetPipelineRun(
            pb.GetPipelineRunRequest(run_id=OPEN), metadata=client._credentials.metadata()
        ))  # fmt: skip
        url = f"http://127.0.0.1:{port}"
        stack.enter_context(served_panel(url, environ, within_s=120))
        busy = os.getloadavg()[0]
        print(f"{runs:,} runs, {3 * BUCKETS:,} points a stage are kept of {REPORTS:,}; load of the machine {busy:.1f}")
        panel = next(child for child in psutil.Process().children() if "streamlit" in " ".join(child.cmdline()))
        cookies = pages(url, client, Costs(panel.pid, pid))
        tabs(url, panel, pid, cookies, client)


if __name__ == "__main__":
    main()
