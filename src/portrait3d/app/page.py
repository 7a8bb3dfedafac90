"""The page: the photo to the left, the turned photo and the 3D head to the right, sliders below them."""

import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import gradio as gr

from portrait3d.app import figures
from portrait3d.app.examples import Example
from portrait3d.app.session import (
    EXPRESSIONS,
    MAX_FILE_BYTES,
    Controls,
    ExpiredError,
    Session,
    Sessions,
    film_file,
    findings,
    open_photo,
    open_session,
    turned_preview,
)
from portrait3d.errors import InvalidImageError, NoFaceError
from portrait3d.names import as_text
from portrait3d.pipeline import Portrait3D
from portrait3d.portrait import HeadAngles

ANGLES = {"Yaw": 45, "Pitch": 30, "Roll": 30}
"""How far the sliders go to either side, degrees."""
STEP = 0.5
"""Of the sliders of angles, degrees."""
INTRODUCTION = """
# portrait3d

Drop a photo of a person: the page finds face, hair and ears, lifts them to a 3D head, and turns the head in
the photo as you drag. Photos stay on this computer and are deleted when the program ends.
"""
FOOTER = """
The bundled weights are for non-commercial research only. Turned photos are synthetic pictures of real people:
ask them, and say so.
"""
EMPTY_PHOTO = '<div class="empty">The turned photo appears here.</div>'
EMPTY_HEAD = '<div class="empty">The 3D head appears here.</div>'
FOLLOW = f"""(yaw, pitch, roll, ...strengths) => {{
    const weights = {{}};
    {json.dumps([*EXPRESSIONS.values()])}.forEach((shapes, k) => {{
        for (const [shape, share] of Object.entries(shapes)) {{
            weights[shape] = Math.min(1, (weights[shape] ?? 0) + share * strengths[k]);
        }}
    }});
    const frame = document.querySelector("#head iframe");
    frame?.contentWindow.postMessage({{portrait3d: {{yaw, pitch, roll, weights}}}}, "*");
}}"""
"""Tells the 3D head's frame where the sliders stand; it follows without asking the server."""
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
WORKING: dict[str, Any] = {"show_progress": "minimal", "api_visibility": "private"}


class Page:
    """The parts of the page, and what happens when they are touched.

    Args:
        model: The networks.
        sessions: Where open photos are kept.
        examples: Pictures that are ready.
        folder: Where videos are written.
    """

    def __init__(
        self, model: Portrait3D, sessions: Sessions, examples: Sequence[Example], folder: Path
    ) -> None:
        self.model, self.sessions, self.folder = model, sessions, folder
        with gr.Blocks(title="portrait3d", analytics_enabled=False, delete_cache=(600, 3600)) as self.blocks:
            self.key = gr.State("", time_to_live=3600, delete_callback=sessions.drop)
            gr.Markdown(INTRODUCTION, elem_id="introduction")
            with gr.Row():
                with gr.Column(scale=3, min_width=300):
                    self._lay_out_photo(examples)
                with gr.Column(scale=7, min_width=320):
                    self._lay_out_results()
            gr.Markdown(FOOTER, elem_id="footer")
            self._connect()

    def _lay_out_photo(self, examples: Sequence[Example]) -> None:
        self.photo = gr.Image(
            label="Photo",
            type="filepath",
            image_mode=None,
            height=300,
            buttons=[],
            elem_id="photo",
            placeholder=f"Drop a photo here\nor click to choose one, up to {MAX_FILE_BYTES // 2**20} MB",
            alt_text="The photo that was dropped.",
        )
        self.message = gr.HTML(elem_id="message")
        with gr.Row(elem_id="examples"):
            self.examples = [
                (gr.Button(example.label, size="sm", icon=example.path, min_width=120), str(example.path))
                for example in examples
            ]
        with gr.Group(visible=False, elem_id="faces") as self.several:
            self.face = gr.Radio(label="Several people: whose head?", type="index")
            self.faces = gr.HTML()
        self.findings = gr.HTML(elem_id="findings")

    def _lay_out_results(self) -> None:
        with gr.Row(elem_id="results"):
            self.turned = gr.HTML(EMPTY_PHOTO, elem_id="turned")
            self.head = gr.HTML(EMPTY_HEAD, elem_id="head")
        with gr.Column(visible=False) as self.controls:
            with gr.Row(elem_id="angles"):
                self.angles = [
                    gr.Slider(-reach, reach, 0, step=STEP, label=f"{name} (degrees)", buttons=[])
                    for name, reach in ANGLES.items()
                ]
            with gr.Accordion("Expression, added to the photo's own"), gr.Row(elem_id="expressions"):
                self.strengths = [
                    gr.Slider(0, 1, 0, step=0.05, label=name, buttons=[]) for name in EXPRESSIONS
                ]
            with gr.Row(elem_id="files"):
                self.reset = gr.Button("Back to the photo", size="sm", scale=0, min_width=150)
                self.make_film = gr.Button("Make a video", size="sm", scale=0, min_width=130)
                self.downloads = gr.HTML(elem_id="downloads")
            self.film = gr.Video(
                label="Turntable", visible=False, height=360, autoplay=True, loop=True, buttons=["download"]
            )

    def _connect(self) -> None:
        sliders: list[Any] = [*self.angles, *self.strengths]
        opened = [
            *(self.key, self.photo, self.message, self.several, self.face, self.faces, self.findings),
            *(self.turned, self.head, self.controls, self.downloads, self.film, *sliders),
        ]
        # Without Gradio's preprocessing, which has messages of its own for what is no picture.
        dropped: dict[str, Any] = {
            "fn": self.open,
            "inputs": [self.photo, self.key],
            "outputs": opened,
            "preprocess": False,
            "concurrency_id": "networks",
        }
        self.photo.input(**dropped, **WORKING)
        for button, path in self.examples:
            shown = button.click(lambda path=path: path, None, self.photo, **QUIET)
            shown.then(**dropped, **WORKING)
        self.face.input(self.choose, [self.face, self.key], opened, concurrency_id="networks", **WORKING)
        filmed = [self.film, self.message]
        self.make_film.click(self.turntable, self.key, filmed, concurrency_id="films", **WORKING)
        drawn = [self.turned, self.downloads, self.message]
        moved = [slider.input for slider in sliders]
        gr.on(moved, None, sliders, None, js=FOLLOW)
        gr.on(
            moved,
            self.draw,
            [self.key, *sliders],
            drawn,
            trigger_mode="always_last",
            queue=False,  # the session draws one picture at a time, and the queue takes longer than that
            **QUIET,
        )
        self.reset.click(self.rest, self.key, [*drawn, *sliders], **QUIET).then(
            None, sliders, None, js=FOLLOW
        )

    def open(self, file: dict[str, Any] | None, key: str) -> dict[Any, Any]:
        """Reconstruct the largest face of a dropped photo; without one, empty the page."""
        self.sessions.drop(key)
        if file is None:
            return self._closed("")
        path = Path(file["path"])
        name = as_text(file["orig_name"] or path.name)
        try:
            return self._opened(open_session(self.model, open_photo(path, name)))
        except NoFaceError as error:
            return self._closed(str(error))
        except InvalidImageError as error:
            return self._closed(str(error)) | {self.photo: None}

    def choose(self, face: int, key: str) -> dict[Any, Any]:
        """Reconstruct another face of the same photo."""
        try:
            photo = self.sessions.get(key).portrait.photo
        except ExpiredError as error:
            return self._closed(str(error))
        self.sessions.drop(key)
        return self._opened(open_session(self.model, photo, face))

    def draw(self, key: str, *values: float) -> dict[Any, Any]:
        """Turn the head as the sliders say."""
        angles, strengths = values[: len(ANGLES)], values[len(ANGLES) :]
        controls = Controls(
            angles=HeadAngles(*angles), expression=dict(zip(EXPRESSIONS, strengths, strict=True))
        )
        try:
            return self._drawn(key, self.sessions.get(key), controls)
        except ExpiredError as error:
            return {self.message: figures.message(str(error))}

    def rest(self, key: str) -> dict[Any, Any]:
        """Put every slider back to where the photo has it."""
        try:
            session = self.sessions.get(key)
        except ExpiredError as error:
            return {self.message: figures.message(str(error))}
        return self._drawn(key, session, session.resting) | self._slider_values(session)

    def turntable(self, key: str, progress: Any = gr.Progress()) -> dict[Any, Any]:  # noqa: B008
        """Film the head as it turns from side to side."""
        try:
            session = self.sessions.get(key)
        except ExpiredError as error:
            return {self.message: figures.message(str(error))}
        path = self.folder / f"{key}.mp4"
        film_file(session, path, lambda done, total: progress((done, total), unit="frames"))
        return {self.film: gr.Video(str(path), visible=True), self.message: ""}

    def _opened(self, session: Session) -> dict[Any, Any]:
        key = self.sessions.add(session)
        count = len(session.boxes)
        choices = [f"{number + 1}" + ("" if number else ", the largest") for number in range(count)]
        pixels = session.portrait.photo.pixels
        return (
            self._drawn(key, session, session.resting)
            | self._slider_values(session)
            | {
                self.key: key,
                self.several: gr.Group(visible=count > 1),
                self.face: gr.Radio(choices=choices, value=choices[session.face]),
                self.faces: figures.faces_figure(pixels, session.boxes, session.face) if count > 1 else "",
                self.findings: figures.findings_figures(findings(session), session.portrait.quality),
                self.head: figures.head_frame(key, session.portrait.pose),
                self.controls: gr.Column(visible=True),
                self.film: gr.Video(None, visible=False),
            }
        )

    def _closed(self, text: str) -> dict[Any, Any]:
        return {
            self.key: "",
            self.message: figures.message(text),
            self.several: gr.Group(visible=False),
            self.findings: "",
            self.turned: EMPTY_PHOTO,
            self.head: EMPTY_HEAD,
            self.controls: gr.Column(visible=False),
        }

    def _drawn(self, key: str, session: Session, controls: Controls) -> dict[Any, Any]:
        return {
            self.turned: figures.turned_figure(turned_preview(session, controls), controls),
            self.downloads: figures.downloads(key, controls),
            self.message: "",
        }

    def _slider_values(self, session: Session) -> dict[Any, Any]:
        pose = session.portrait.pose
        angles = (pose.yaw, pose.pitch, pose.roll)
        values = [
            min(max(round(angle / STEP) * STEP, -reach), reach)
            for angle, reach in zip(angles, ANGLES.values(), strict=True)
        ]
        return dict(zip(self.angles, values, strict=True)) | dict.fromkeys(self.strengths, 0.0)


def style() -> str:
    """The page's own style sheet."""
    return files("portrait3d.app").joinpath("page.css").read_text(encoding="utf-8")


def theme() -> gr.themes.Base:
    """Colours and the computer's own fonts: Gradio's would come from the network."""
    return gr.themes.Base(
        primary_hue="teal",
        neutral_hue="stone",
        radius_size="lg",
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    )
