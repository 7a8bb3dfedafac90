"""The web page around a head."""

import base64
import re

from portrait3d.export.meshes import encode_glb
from portrait3d.export.viewer import viewer_html
from portrait3d.geometry.mesh import HeadMesh


def test_the_page_holds_the_head_and_needs_no_network(head: HeadMesh) -> None:
    glb = encode_glb(head)
    page = viewer_html(glb, "a photo")
    assert "<title>a photo</title>" in page
    assert not re.search(r"https?:|//cdn|\bsrc=|@import|url\(|fetch\(|XMLHttpRequest|import\(", page)
    assert "default-src 'none'" in page
    (inside,) = re.findall(r'<script id="glb" type="text/plain">([^<]*)</script>', page)
    assert base64.b64decode(inside) == glb
    assert "{{" not in page


def test_a_title_cannot_break_out_of_the_page(head: HeadMesh) -> None:
    page = viewer_html(encode_glb(head), "</title><script>alert(1)</script>")
    assert "<script>alert" not in page


def test_a_title_is_text_and_no_place_for_the_head(head: HeadMesh) -> None:
    glb = encode_glb(head)
    page = viewer_html(glb, "{{glb}} caf\udce9")
    assert "<title>{{glb}} caf\\udce9</title>" in page
    assert page.encode().count(base64.b64encode(glb)) == 1
