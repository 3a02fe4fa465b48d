"""The voice map in a real Chromium: names where they fit, shapes beside colors."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import timbral
from timbral.reports.map_columns import MapColumn
from timbral.reports.map_findings import MapFinding, OtherRecording
from timbral.reports.voice_map import Point, write_voice_map

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")

CHROMIUM = shutil.which("chromium")
LAUNCH = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # of playwright's processes
]
NAMES = "Array.from(document.querySelectorAll('#labels span:not([hidden])'), (e) => e.textContent)"
BOXES = (
    "Array.from(document.querySelectorAll('#labels span:not([hidden])'), (e) => {"
    "const b = e.getBoundingClientRect(); return [b.left, b.top, b.right, b.bottom]})"
)
PIXEL = (
    "((i, right) => { const map = document.getElementById('voice-map'), data ="
    " JSON.parse(document.getElementById('map-data').textContent);"
    "const [x, y] = map.plot.place(data.x[i], data.y[i]); return Array.from("
    "map.querySelector('canvas').getContext('2d').getImageData(x + right, y, 1, 1).data) })"
)
"""the color that is drawn at a point, or so many pixels to its right"""
SHAPES = "Array.from(document.querySelectorAll('#speakers .dot'), (e) => e.dataset.shape)"


def look(page: Path, *scripts: str) -> list[Any]:
    """What scripts give on a page that shows without an error."""
    errors: list[str] = []
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=LAUNCH)
        shown = browser.new_page()
        shown.on("pageerror", lambda error: errors.append(str(error)))
        shown.goto(page.as_uri())
        shown.wait_for_selector("#labels span")
        answers = [shown.evaluate(script) for script in scripts]
        browser.close()
    assert not errors
    return answers


def write(
    path: Path, speakers: int, name: str = "speaker", columns: Sequence[MapColumn] = ()
) -> Path:
    middles = np.random.default_rng(0).normal(size=(speakers, 2))
    points = [
        Point(f"{row}-{index}", f"{name} {row}", "", x + 0.1 * index, y, refusal="no sound")
        for row, (x, y) in enumerate(middles.tolist())
        for index in range(3)
    ]
    write_voice_map(points, path, title="Voice map", columns=columns)
    return path


def test_few_speakers_are_named_and_have_one_shape(tmp_path: Path) -> None:
    names, shapes = look(write(tmp_path / "map.html", 6, "<b>x</b>"), NAMES, SHAPES)
    assert sorted(names) == [f"<b>x</b> {row}" for row in range(6)]
    assert set(shapes) == {"circle"}


def test_of_many_speakers_those_are_named_that_fit(tmp_path: Path) -> None:
    names, boxes, shapes = look(write(tmp_path / "map.html", 300), NAMES, BOXES, SHAPES)
    assert 10 < len(names) <= 60
    for number, (left, top, right, bottom) in enumerate(boxes):
        for other in boxes[:number]:
            assert left >= other[2] or right <= other[0] or top >= other[3] or bottom <= other[1]
    assert len(set(shapes)) == 5


def test_rings_of_findings_fade_with_the_points_that_are_not_chosen(tmp_path: Path) -> None:
    points = [
        Point(f"u{row}", f"speaker {row}", "", float(row), 0.0, refusal="no sound", note="copy?")
        for row in range(2)
    ]
    write_voice_map(points, tmp_path / "map.html", title="Voice map")
    choose = "document.querySelector('#speakers button').click()"
    # a ring around a point of 8 pixels; the first that is drawn to its right
    rings = (
        f"[0, 1].map((i) => Math.max(...[5, 6, 7, 8, 9].map((x) => "
        f"{{ const [r, g] = {PIXEL}(i, x); return r - g }})))"
    )
    both, _, chosen = look(tmp_path / "map.html", rings, choose, rings)
    assert min(both) > 100
    assert chosen[0] > 100
    assert chosen[1] < 70


def test_points_are_colored_by_any_column(tmp_path: Path) -> None:
    column = MapColumn("room", ["<b>hall</b>", "studio"], [0, 1, 0] * 4)
    choose = (
        "(() => { const s = document.getElementById('color-by'); s.value = '0';"
        "s.dispatchEvent(new Event('change')); return s.options.length })()"
    )
    legend = "Array.from(document.querySelectorAll('#legend li'), (e) => e.textContent)"
    colors = f"Array.from({{length: 12}}, (_, i) => {PIXEL}(i, 0))"
    page = write(tmp_path / "map.html", 4, columns=[column])
    before, options, values, after = look(page, colors, choose, legend, colors)
    assert options == 2
    assert values == ["<b>hall</b>", "studio"]
    assert len({tuple(color) for color in before}) == 4
    assert after == [after[0], after[1], after[0]] * 4
    assert after[0] != after[1]


def test_the_map_is_dragged_zoomed_and_clicked(tmp_path: Path) -> None:
    """By what a mouse and two fingers do; a double click shows all of it again."""
    page = write(tmp_path / "map.html", 4)
    at = "(() => { const map = document.getElementById('voice-map'), d = JSON.parse("
    at += "document.getElementById('map-data').textContent), b = map.getBoundingClientRect();"
    at += "const [x, y] = map.plot.place(d.x[5], d.y[5]); return [x + b.left, y + b.top] })()"
    name = "document.getElementById('now-utterance').textContent"
    frame = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=LAUNCH)
        shown = browser.new_page(has_touch=True)
        shown.goto(page.as_uri())
        shown.wait_for_selector("#labels span")
        mouse, start = shown.mouse, shown.evaluate(at)
        mouse.move(*start)
        assert shown.locator("#tip b").inner_text() == "1-2"
        mouse.down()
        mouse.move(start[0] + 30, start[1] + 20, steps=3)
        mouse.up()
        assert shown.evaluate(name) == "Nothing played yet", "a drag is no click"
        moved = shown.evaluate(at)
        assert moved == pytest.approx([start[0] + 30, start[1] + 20], abs=6)
        mouse.wheel(0, -200)
        shown.evaluate(frame)
        assert shown.evaluate(at) == pytest.approx(moved, abs=6), "it zooms around the pointer"
        mouse.click(*shown.evaluate(at))
        assert shown.evaluate(name) == "1-2"
        mouse.dblclick(*shown.evaluate(at))
        assert shown.evaluate(at)[0] == pytest.approx(start[0], abs=0.01)
        fingers = shown.context.new_cdp_session(shown)
        for kind, gap in (("touchStart", 20), ("touchMove", 40), ("touchEnd", 0)):
            points = [
                {"x": start[0] + side, "y": start[1], "id": int(side > 0)} for side in (0, gap)
            ]
            touch = {"type": kind, "touchPoints": points if gap else []}
            fingers.send("Input.dispatchTouchEvent", touch)
        shown.evaluate(frame)
        spread = "(() => { const p = document.getElementById('voice-map').plot;"
        spread += "return p.place(1, 0)[0] - p.place(0, 0)[0] })()"
        wide = shown.evaluate(spread)
        shown.locator("#zoom-reset").click()
        assert wide == pytest.approx(2 * shown.evaluate(spread), rel=0.01)
        browser.close()


def test_a_click_on_a_finding_plays_both_sides(tmp_path: Path) -> None:
    """Also where the sound lies beside the page."""
    voices = sorted((Path(timbral.__file__).parent / "demo" / "voices").glob("*/*_0*.ogg"))[:6]
    points = [
        Point(f"u{row}", f"s{row % 2}", str(path), row, row) for row, path in enumerate(voices)
    ]
    there = OtherRecording("there", "s9", str(voices[5]))
    pair = MapFinding("duplicate", 97, "u1 and u4", [1, 4])
    shared = MapFinding("shared-speaker", 97, "u2, there", [2], other=there)
    click = (
        "(async () => { const audio = document.getElementById('audio'), played = [];"
        "audio.addEventListener('playing', () => played.push("
        "document.getElementById('now-utterance').textContent));"
        "document.querySelector('#finding-list button').click();"
        "for (let i = 0; i < 200 && played.length < 2; i++)"
        "await new Promise((done) => setTimeout(done, 100));"
        f"const ringed = [0, 1, 2, 3, 4, 5].filter((i) => {PIXEL}(i, 11)[0] < 60);"
        "return [played, ringed, document.getElementById('error').textContent] })()"
    )
    for inside in (2_000, 3):
        for finding, names, rings in (
            (pair, ["u1", "u4"], [1, 4]),
            (shared, ["u2", "there"], [2]),
        ):
            page = tmp_path / f"map{inside}-{finding.kind}.html"
            write_voice_map(
                points, page, title="", clip_seconds=0.3, most_inside=inside, findings=[finding]
            )
            [[played, ringed, error]] = look(page, click)
            assert (played, ringed, error) == (names, rings, "")


def test_why_a_recording_of_another_corpus_has_no_sound_is_told(tmp_path: Path) -> None:
    voice = next((Path(timbral.__file__).parent / "demo" / "voices").glob("*/*_0*.ogg"))
    (tmp_path / "empty.wav").touch()
    there = OtherRecording("there", "s9", str(tmp_path / "empty.wav"))
    finding = MapFinding("shared-speaker", 97, "u0, there", [0], other=there)
    click = (
        "(async () => { document.querySelector('#finding-list button').click();"
        "const told = () => document.getElementById('error').textContent;"
        "for (let i = 0; i < 200 && !told().includes('0 bytes'); i++)"
        "await new Promise((done) => setTimeout(done, 100));"
        "return [document.getElementById('now-utterance').textContent, told()] })()"
    )
    points = [Point("u0", "s0", str(voice), 0, 0)]
    write_voice_map(points, tmp_path / "map.html", title="", clip_seconds=0.3, findings=[finding])
    [[shown, error]] = look(tmp_path / "map.html", click)
    assert shown == "there"
    assert error.startswith("No sound: ")
    assert "0 bytes" in error


def test_a_second_speaker_is_played_where_it_is_heard(tmp_path: Path) -> None:
    """Not the recording's start, which a click on its point plays; also after a replay."""
    voice = next((Path(timbral.__file__).parent / "demo" / "voices").glob("*/*_0*.ogg"))
    wave, rate = soundfile.read(voice)
    soundfile.write(tmp_path / "long.wav", np.tile(wave, 4), rate)
    points = [Point(f"u{row}", "s", str(tmp_path / "long.wav"), row, row) for row in range(4)]
    findings = [MapFinding("second-speaker", 97, "u2: another voice from 7.0 s on", [2], 7.0)]
    steps = (
        "(async () => { const audio = document.getElementById('audio'), played = [];"
        "const clips = JSON.parse(document.getElementById('map-clips').textContent);"
        "const data = JSON.parse(document.getElementById('map-data').textContent);"
        "const at = () => clips.findIndex((clip) => audio.src.endsWith(clip));"
        "audio.addEventListener('playing', () => played.push("
        "[document.getElementById('now-utterance').textContent, at()]));"
        "const button = document.querySelector('#finding-list button');"
        "for (const act of [() => button.click(), () => document.getElementById('replay').click(),"
        "() => document.getElementById('next').click()]) { const before = played.length; act();"
        "for (let i = 0; i < 100 && played.length === before; i++)"
        "await new Promise((done) => setTimeout(done, 50)); }"
        "return [played, data.findings[0].clip, document.getElementById('error').textContent] })()"
    )
    for inside in (2_000, 3):
        page = tmp_path / f"map{inside}.html"
        write_voice_map(
            points, page, title="", clip_seconds=2, most_inside=inside, findings=findings
        )
        [[played, clip, error]] = look(page, steps)
        assert clip == 4
        assert error == ""
        assert [each[0] for each in played] == ["u2", "u2", "u3"]
        assert [each[1] for each in played][:2] == [4, 4]
        assert played[2][1] < 4
