"""Make the pictures of ``docs/reference/dashboard.rst``: the page with a made-up night, in each state.

    .venv/bin/python .ci/screenshots.py [FOLDER] [NAME...]    FOLDER is docs/images unless given; all NAMES

It needs ``.venv/bin/pip install -e '.[browser]'`` and Chromium.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred
from twisted.internet.task import react

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.support.browsers import browser  # noqa: E402
from tests.support.pages_shown import NIGHT, PLAYED, ago, serve, tell  # noqa: E402
from tests.web.test_page_layout import STATES  # noqa: E402

DESK = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}
SETTLED = 2500
"""The time until all parts have drawn what they were told, in ms: they draw once a second."""

VALUES = {
    "mainPowerSupply.powerSupplyVoltage": 401.2,
    "oilSupplySystem.oilTemperatureFacilities5001": 16.2,
    "topEndChiller.actualTemperatureAmbient": 8.1,
    "mainCabinetThermal.mainCabinetInternalTemperature1": 19.8,
    "mainCabinetThermal.setpointTemperature": 20.0,
}


SAID = """([time, age]) => {
    const { store } = window.shownPage;
    const fields = { axis: "AZIMUTH", in_position: true };
    const message = { type: "message", peer: "controller", direction: "from", kind: "IN_POSITION" };
    store.addEntry({ ...message, time, fields });
    store.answer = { at: performance.now() - age, ms: 4, step: "ack" };
}"""
"""What the mount said last, and how fast it answered."""


class Picture(NamedTuple):
    """A picture: the page in a state, by day or by night, at a size; in playback, so many seconds ago."""

    state: str
    theme: str = "light"
    size: dict[str, int] = DESK
    played: float | None = None


PICTURES = {
    "dashboard-day": Picture("tracking"),
    "dashboard-night": Picture("alarm", "dark"),
    "dashboard-slewing": Picture("slewing", "dark"),
    "dashboard-limit": Picture("limit"),
    "dashboard-lost": Picture("lost"),
    "dashboard-old": Picture("old"),
    "dashboard-playback": Picture("tracking", played=300.0),
    "dashboard-phone": Picture("alarm", size=PHONE),
    "dashboard-narrow": Picture("tracking", "dark", {"width": 320, "height": 640}),
}


def take(page: Any, picture: Picture, path: Path) -> None:
    """Take one picture."""
    page.set_viewport_size(picture.size)
    page.emulate_media(color_scheme=picture.theme)
    serve(page, NIGHT if picture.played is None else PLAYED)
    for _ in range(2):  # the plots begin with the first state, and read their history
        tell(page, *STATES[picture.state], VALUES)
        page.wait_for_timeout(SETTLED)
    page.evaluate(SAID, [ago(38), 1000])
    tell(page, *STATES[picture.state], VALUES)
    page.wait_for_timeout(SETTLED)
    if picture.played is not None:
        page.evaluate(f"location.hash = '#play={ago(picture.played)}'")
        page.wait_for_timeout(2 * SETTLED)
    page.screenshot(path=path)
    print(path)


async def main(folder: Path, names: list[str]) -> None:
    """Take the pictures, each of a page of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names or PICTURES:
        picture = PICTURES[name]
        await browser().run(lambda page: take(page, picture, folder / f"{name}.png"))  # noqa: B023


if __name__ == "__main__":
    where = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "images"
    react(lambda reactor: Deferred.fromCoroutine(main(where, sys.argv[2:])))
