"""The page of the service in a real Chromium, with a microphone that plays a file."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import soundfile

from timbral.demo.shipped import VOICES

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytest.importorskip("fastapi", reason="needs the extra [serve]")
playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
pytest.importorskip("av", reason="browsers record webm, which needs the extra [ffmpeg]")

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # of playwright's processes
]
RECORDINGS = sorted((VOICES / "am_adam").glob("*.ogg"))
INJECTED = '<img src=x onerror="document.title=1"><script>document.title=2</script>'


@pytest.fixture(scope="module")
def address(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    gallery = tmp_path_factory.mktemp("gallery") / "gallery.db"
    command = [sys.executable, "-m", "timbral", "serve", str(gallery), "--create", "--port", "0"]
    command += ["--encoder", str(run), "--quiet"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        yield server.stderr.readline().split()[-1]
        server.terminate()
        assert server.wait(20) == 0


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Its microphone plays a shipped voice."""
    spoken = tmp_path_factory.mktemp("microphone") / "spoken.wav"
    waves = [soundfile.read(path)[0] for path in RECORDINGS[1:4]]
    soundfile.write(spoken, np.concatenate(waves), 16_000)
    options = [
        "--no-sandbox",
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={spoken}",
    ]
    with playwright.sync_playwright() as started:
        launched = started.chromium.launch(executable_path=CHROMIUM, args=options)
        yield launched
        launched.close()


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Page]:
    """Whose console stays empty."""
    phone = {"width": 390, "height": 800}
    context = browser.new_context(permissions=["microphone"], viewport=phone)
    opened = context.new_page()
    said: list[str] = []
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.goto(address)
    opened.wait_for_selector("#tasks")
    yield opened
    context.close()
    assert [line for line in said if "status of 4" not in line] == []  # refusals are meant


def take_file(page: Page, slot: int, path: Path, section: str = "compare") -> None:
    page.locator(f"#{section} .slot").nth(slot).locator("input[type=file]").set_input_files(path)


def answer_of(page: Page, section: str) -> str:
    page.locator(f"#{section} button.main").click()
    shown = page.locator(f"#{section} .verdict:not(.working)")
    shown.wait_for(timeout=20_000)
    return str(shown.inner_text())


def test_a_recording_of_the_microphone_is_compared(page: Page) -> None:
    take_file(page, 0, RECORDINGS[0])
    record = page.locator("#compare .slot").nth(1).locator("button")
    record.click()
    page.wait_for_timeout(2500)
    assert record.get_attribute("aria-pressed") == "true"
    record.click()
    page.get_by_text("Recorded,").wait_for()
    page.get_by_label("Timeline").check()
    assert "cosine" in answer_of(page, "compare")
    assert page.locator("#compare .measured .card").count() == 2
    plot = page.get_by_role("img")
    assert "Windows of the" in (plot.get_attribute("aria-label") or "")
    page.get_by_text("As a table").click()
    assert page.locator("table tr").count() == 1 + plot.locator("rect").count()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_what_cannot_be_used_is_told_in_words(page: Page, tmp_path: Path) -> None:
    assert "both recordings first" in answer_of(page, "compare")
    take_file(page, 0, RECORDINGS[0])
    wrong = tmp_path / "notes.txt"
    wrong.write_text("no audio")
    take_file(page, 1, wrong)
    assert "second: cannot be read as audio" in answer_of(page, "compare")


def test_voices_are_enrolled_identified_and_deleted_with_the_keyboard(page: Page) -> None:
    page.get_by_role("button", name="Enroll").first.focus()
    page.keyboard.press("Enter")
    page.get_by_label("Name").fill(INJECTED)
    for slot in range(2):
        take_file(page, slot, RECORDINGS[slot], "enroll")
    page.get_by_label("Enroll even if").check()
    assert f"Enrolled: {INJECTED}" in answer_of(page, "enroll")
    page.get_by_role("button", name="Identify").first.focus()
    page.keyboard.press("Space")
    take_file(page, 0, RECORDINGS[2], "identify")
    answer_of(page, "identify")
    assert INJECTED in page.locator("#identify .candidates").inner_text()
    page.get_by_role("button", name="Voices").focus()
    page.keyboard.press("Enter")
    assert page.locator("#voice-list .name").inner_text() == INJECTED
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Delete").focus()
    page.keyboard.press("Enter")
    page.get_by_text("Deleted:").wait_for()
    assert page.locator("#voice-list li").count() == 0
    assert page.title() == "timbral"


def test_the_page_of_the_api_shows_every_operation(page: Page, address: str) -> None:
    page.goto(f"{address}/api")
    page.wait_for_selector(".operation")
    titles = page.locator(".operation h2").all_inner_texts()
    assert {"POST /embed", "POST /identify", "DELETE /voices/{name}"} <= set(titles)
