"""Make the pictures of ``docs/reference/dashboard.rst``: the page over a simulated mount that has something
to tell.

    .venv/bin/python .ci/screenshots.py [FOLDER]        FOLDER is docs/images unless given

It needs ``.venv/bin/pip install -e '.[browser]'`` and Chromium.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from mtmount_twisted.replies import ErrorReply, OnStateInfoReply, WarningReply  # noqa: E402
from tests.support.browsers import browser  # noqa: E402
from tests.support.dashboards import House, on_reactor  # noqa: E402
from tests.web.test_dashboard import expect, power_on, send  # noqa: E402

DESK = {"width": 1360, "height": 900}
PHONE = {"width": 390, "height": 844}
NEWS = (
    OnStateInfoReply(description="Enabled"),
    WarningReply(active=True, code=1004, subsystem="1000. Cable wrap/Motor", extra_data=("61.2 deg C",)),
    ErrorReply(on=True, active=True, code=803, subsystem="800. Oil supply", extra_data=("low pressure",)),
)


def at_work(house: House, page: Any) -> None:
    """Command, powered, some commands done and one that goes on."""
    power_on(page)
    for position in ("1", "2", "3", "2", "0"):
        send(page, "AzimuthMove", position=position)
        expect(page.locator("#lives li").first).to_contain_text(f"position {position} done")
    on_reactor(house.say, *NEWS)
    send(page, "AzimuthMove", position="-120", velocity="2")
    expect(page.locator("#form-status")).to_have_text(re.compile("acknowledged"))
    expect(page.locator("#flights")).to_contain_text("yes")


def take(page: Any, path: Path, **options: Any) -> None:
    """Take a picture from the top."""
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    page.mouse.move(0, 0)
    page.screenshot(path=path, **options)
    print(path)


def pictures(house: House, folder: Path, page: Any) -> None:
    """All pictures, with one visit."""
    page.goto(house.url)
    page.wait_for_selector("body[data-live=yes]")
    at_work(house, page)
    for theme, scheme in (("day", "light"), ("night", "dark")):
        page.emulate_media(color_scheme=scheme)
        take(page, folder / f"dashboard-{theme}.png", full_page=True)
    page.set_viewport_size(PHONE)
    take(page, folder / "dashboard-phone.png")


async def main(folder: Path) -> None:
    """Start the daemon's parts, look at them, stop."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as state:
        house = House(str(Path(state, "journal.sqlite")))
        await house.start()
        try:
            await browser().run(lambda page: pictures(house, folder, page), viewport=DESK)
        finally:
            await house.stop()


if __name__ == "__main__":
    where = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "images"
    react(lambda reactor: Deferred.fromCoroutine(main(where)))
