"""The console's page in a browser: logs in, opens views, and takes pictures of them."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

from tests.support.browser import Browser

WAIT_S = 20.0
POLL_S = 0.05

MIDDLE = """(() => {
  const element = document.querySelector(%s);
  element.scrollIntoView({ block: 'center' });
  const box = element.getBoundingClientRect();
  return [box.x + box.width / 2, box.y + box.height / 2];
})()"""
"""Brings an element into view, and returns where its middle is."""


class ConsolePage:
    """The page of one server."""

    def __init__(self, browser: Browser, url: str) -> None:
        self.browser, self.url = browser, url

    async def open(self, fragment: str = "#/calls") -> None:
        """Loads the page anew."""
        await self.browser.call("Page.navigate", url="about:blank")
        await self.browser.call("Page.navigate", url=f"{self.url}/console{fragment}")
        await self.until("document.readyState === 'complete' && document.querySelector('main > *') !== null")

    async def go(self, fragment: str) -> None:
        """Opens another view of the page that is there."""
        await self.browser.evaluate(f"location.hash = {json.dumps(fragment)}")

    async def log_in(self, key: str) -> None:
        """Gives the login a key."""
        await self.until("document.querySelector('form.login') !== null")
        await self.browser.evaluate(
            f"document.querySelector('#key').value = {json.dumps(key)}; "
            "document.querySelector('form.login button').click()"
        )

    async def until(self, condition: str) -> Any:
        """Waits until a script of the page is true, and returns its value."""
        try:
            async with asyncio.timeout(WAIT_S):
                while not (value := await self.browser.evaluate(condition)):  # noqa: ASYNC110
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            text = await self.browser.evaluate("document.body.innerText")
            raise AssertionError(f"never: {condition}\n{self.browser.complaints}\n{text[:2_000]}") from None
        return value

    async def watch(self, selector: str) -> None:
        """Keeps every text that an element shows from now on, as a user sees it, for `shown`."""
        element = f"document.querySelector({json.dumps(selector)})"
        await self.browser.evaluate(
            f"window.texts = []; new MutationObserver(() => texts.push({element}.textContent))"
            f".observe({element}, {{ childList: true, characterData: true, subtree: true }})"
        )

    async def shown(self, part: str) -> None:
        """Waits until what `watch` watches shows, or has shown, a text with this in it."""
        await self.until(f"texts.some(text => text.includes({json.dumps(part)}))")

    async def text(self, selector: str = "main") -> str:
        """The text of an element as it is seen; empty where there is none."""
        return str(await self.browser.evaluate(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''"))

    async def click(self, selector: str) -> None:
        """Clicks on the middle of an element as a mouse does."""
        box = await self.browser.evaluate(MIDDLE % json.dumps(selector))
        await self.click_at(*box)

    async def click_at(self, x: float, y: float) -> None:
        for kind in ("mousePressed", "mouseReleased"):
            at = {"x": x, "y": y, "button": "left", "clickCount": 1}
            await self.browser.call("Input.dispatchMouseEvent", type=kind, **at)

    async def press(self, key: str, text: str = "") -> None:
        """Presses a key."""
        await self.browser.call("Input.dispatchKeyEvent", type="keyDown", key=key, **({"text": text} if text else {}))
        await self.browser.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    async def screen(self, width: int, height: int, scale: float = 1.0, *, mobile: bool = False) -> None:
        """Sets the screen's size in points."""
        size = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": mobile}
        await self.browser.call("Emulation.setDeviceMetricsOverride", **size)

    async def scheme(self, name: str) -> None:
        """Has the browser prefer `dark` or `light`."""
        features = [{"name": "prefers-color-scheme", "value": name}]
        await self.browser.call("Emulation.setEmulatedMedia", features=features)

    async def picture(self) -> bytes:
        """Returns a picture of what is seen, as a PNG."""
        taken = await self.browser.call("Page.captureScreenshot", format="png")
        return base64.b64decode(taken["data"])
