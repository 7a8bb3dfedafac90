"""The server: this computer alone, limits, files by key, and nothing left behind."""

import importlib
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from portrait3d.app.server import HOST, open_port, strengths
from portrait3d.app.session import Session, Sessions


def test_only_this_computer_can_connect() -> None:
    with open_port(0) as listener:
        assert listener.getsockname()[0] == HOST == "127.0.0.1"


def test_a_taken_port_is_named() -> None:
    with open_port(0) as first:
        port = first.getsockname()[1]
        with pytest.raises(OSError, match=f"Port {port} can't be used"), open_port(port):
            pass


@pytest.mark.parametrize("text", ["[1]", '{"Smile": 2}', '{"Grin": 1}', '{"Smile": "1"}', "{", "[" * 9999])
def test_a_link_with_other_expressions_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"JSON|Expressions"):
        strengths(text)


class TestFiles:
    """The files of an open photo."""

    @pytest.fixture
    def client(self) -> Iterator[Any]:
        pytest.importorskip("gradio", reason="the extra app is not installed")
        from fastapi import FastAPI
        from starlette.testclient import TestClient

        from portrait3d.app.server import add_files

        app = FastAPI()
        self.sessions = Sessions()
        add_files(app, self.sessions)
        with TestClient(app) as client:
            yield client

    def test_the_head_and_the_turned_photo_can_be_taken_home(
        self, client: Any, session: Session, tmp_path: Path
    ) -> None:
        key = self.sessions.add(session)
        assert client.get(f"/heads/{key}/head.glb").content.startswith(b"glTF")
        assert b"<html" in client.get(f"/heads/{key}/viewer.html").content
        query = {"yaw": 20, "pitch": 0, "roll": 0, "expression": '{"Smile": 1}'}
        (tmp_path / "turned.png").write_bytes(client.get(f"/heads/{key}/turned.png", params=query).content)
        turned = np.asarray(Image.open(tmp_path / "turned.png"))
        assert turned.shape == session.portrait.photo.pixels.shape
        assert not np.array_equal(turned, session.portrait.photo.pixels)

    def test_a_wrong_key_gets_nothing(self, client: Any, session: Session) -> None:
        self.sessions.add(session)
        assert client.get("/heads/guess/head.glb").status_code == 404

    @pytest.mark.parametrize("query", ["yaw=x&pitch=0&roll=0", "yaw=nan&pitch=0&roll=0", "expression={}"])
    def test_a_wrong_pose_is_refused(self, client: Any, session: Session, query: str) -> None:
        key = self.sessions.add(session)
        assert 400 <= client.get(f"/heads/{key}/turned.png?{query}").status_code < 500


@pytest.mark.slow
def test_the_page_is_served_and_its_folder_goes_with_it(tmp_path: Path) -> None:
    pytest.importorskip("gradio", reason="the extra app is not installed")
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "portrait3d", "app", "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    )
    assert process.stdout
    with process, process.stdout:
        address = process.stdout.readline().split()[4]
        with urllib.request.urlopen(address, timeout=60) as answer:
            assert b"portrait3d" in answer.read()
        request = urllib.request.Request(address, headers={"Host": "elsewhere.example"})
        with pytest.raises(urllib.error.HTTPError, match="400"):
            urllib.request.urlopen(request, timeout=60)
        assert list(tmp_path.glob("portrait3d-app-*"))
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert not list(tmp_path.glob("portrait3d-app-*"))


def test_without_the_extra_the_command_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    command = importlib.import_module("portrait3d.cli.app")
    monkeypatch.setattr(command, "find_spec", lambda _: None)
    with pytest.raises(OSError, match=r"pip install 'portrait3d\[app\]'"):
        command.open_page()
