"""A headless browser, driven through a pipe by its own protocol: no package and no port."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from shutil import which
from typing import Any

PROGRAM = which("chromium") or which("chromium-browser") or which("google-chrome")
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
    *("--no-first-run", "--disable-background-networking", "--hide-scrollbars"),
    *("--force-prefers-reduced-motion", "--remote-debugging-pipe"),
)
START = (  # a program that reads from descriptor 3 and writes to 4
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4);"
    " os.execv(sys.argv[3], sys.argv[3:])"
)
KEYS = {"Enter": (13, "\r"), "Escape": (27, ""), "Tab": (9, "")}


class Browser:
    """One page of it.

    Attributes:
        complaints: what the page wrote to its console as an error, refusals of its policy included.
    """

    def __init__(self, read: int, write: int) -> None:
        self.complaints: list[str] = []
        self._read = os.fdopen(read, "rb", buffering=0)
        self._write = os.fdopen(write, "wb", buffering=0)
        self._number = 0
        self._held = b""
        self._session: str | None = None
        target = self._say("Target.createTarget", url="about:blank")["targetId"]
        attached = self._say("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._say(f"{domain}.enable")

    def open(self, url: str, *, width: int, height: int, headers: Mapping[str, str] = {}) -> None:
        """Go to a page, on a screen of this size, and wait until it is there."""
        self._say(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        self._say("Network.setExtraHTTPHeaders", headers=dict(headers))
        self._say("Page.navigate", url=url)
        self.wait(lambda: self.run("document.readyState") == "complete" and self.run("1") == 1)

    def run(self, script: str) -> Any:
        """Return what a script comes to."""
        found = self._say("Runtime.evaluate", expression=script, returnByValue=True)
        return found["result"].get("value")

    def type(self, text: str) -> None:
        """Type a text where the cursor is."""
        self._say("Input.insertText", text=text)

    def press(self, key: str, *, shift: bool = False) -> None:
        """Press a key."""
        code, text = KEYS[key]
        common = {"key": key, "code": key, "windowsVirtualKeyCode": code, "modifiers": 8 * shift}
        self._say("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
        self._say("Input.dispatchKeyEvent", type="keyUp", **common)

    def picture(self, file: Path) -> None:
        """Write what is seen as a PNG."""
        found = self._say("Page.captureScreenshot", format="png")
        file.write_bytes(base64.b64decode(found["data"]))

    def dark(self, on: bool) -> None:
        """Be in the dark, or not."""
        features = [{"name": "prefers-color-scheme", "value": "dark" if on else "light"}]
        self._say("Emulation.setEmulatedMedia", features=features)

    def wait(self, come: Callable[[], object], seconds: float = 30.0) -> None:
        """Wait until something is true of the page, or fail."""
        end = time.monotonic() + seconds
        while not come():
            assert time.monotonic() < end, "the page never came to it"
            time.sleep(0.05)

    def close(self) -> None:
        """Let go of it."""
        self._read.close()
        self._write.close()

    def _say(self, method: str, **params: object) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        self._write.write(json.dumps(message).encode() + b"\0")
        while True:
            heard = self._hear()
            if heard.get("id") == self._number:
                assert "error" not in heard, heard
                return heard["result"]
            self._note(heard)

    def _hear(self) -> dict[str, Any]:
        while b"\0" not in self._held:
            more = self._read.read(1 << 16)
            assert more, "the browser ended"
            self._held += more
        part, _, self._held = self._held.partition(b"\0")
        return json.loads(part)

    def _note(self, heard: Mapping[str, Any]) -> None:
        """Keep what the page complained about."""
        if heard.get("method") == "Log.entryAdded":
            entry = heard["params"]["entry"]
            if entry["level"] == "error":
                self.complaints.append(entry["text"])
        elif heard.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(heard["params"]["exceptionDetails"]["text"])


@contextmanager
def browsing(folder: Path) -> Iterator[Browser]:
    """Start a browser with nothing in it."""
    assert PROGRAM is not None
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()

    program = [sys.executable, "-c", START, str(theirs_in), str(theirs_out), PROGRAM, *FLAGS]
    with subprocess.Popen(
        [*program, f"--user-data-dir={folder}", "about:blank"],
        pass_fds=(theirs_in, theirs_out),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        os.close(theirs_in)
        os.close(theirs_out)
        try:
            browser = Browser(ours_in, ours_out)
            yield browser
            browser.close()
        finally:
            process.kill()
