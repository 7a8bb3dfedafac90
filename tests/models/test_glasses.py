"""Finding glasses in photos."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from drawn_glasses import BLUE, drawn_over, with_glasses, worn_glasses
from portrait3d import Portrait, Portrait3D, WeightsError
from portrait3d.models.accessory_net import AccessoryNet
from portrait3d.models.folding import fold_norms
from portrait3d.models.glasses import BAND, SIZE, SPECK, eye_crop, find_glasses, glasses_pieces
from portrait3d.preprocessing.alignment import crop_from_landmarks


class Blue(AccessoryNet):
    """Takes what is blue for glasses."""

    def forward(self, band: Tensor) -> Tensor:
        return 40 * (band[:, 2:] - band[:, :1] - 0.4)


def face_crop(portrait: Portrait):
    return crop_from_landmarks(torch.from_numpy(portrait.landmarks))


def test_logits_have_the_pictures_size_and_folding_changes_nothing() -> None:
    net = AccessoryNet(0.25, (4, 4, 8, 8, 8))
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.get_buffer("running_mean"), -0.2, 0.2)
                nn.init.uniform_(module.get_buffer("running_var"), 0.5, 2)
        picture = torch.rand(2, 3, 64, 96)
        before = net.eval()(picture)
        assert before.shape == (2, 1, 64, 96)
        fold_norms(net)
        assert torch.allclose(net(picture), before, atol=1e-4)


def test_crop_shows_eyes_in_the_middle_of_its_band(portrait: Portrait) -> None:
    marks = torch.from_numpy(portrait.landmarks)
    crop = eye_crop(face_crop(portrait), marks)
    eyes = crop.crop_from_photo(marks[36:48].mean(0, keepdim=True))[0]
    assert eyes[0] == pytest.approx(SIZE / 2, abs=1)
    assert BAND.start < eyes[1] < SIZE / 2
    # It is the face crop's own camera, as all crops of a photo are.
    own = face_crop(portrait)
    focal = [float(one.camera().focal) * one.side / one.size for one in (crop, own)]
    assert focal[0] == pytest.approx(focal[1], rel=1e-5)


def test_what_the_network_sees_comes_to_the_photos_pixels(portrait: Portrait) -> None:
    worn = worn_glasses(portrait)
    pixels = drawn_over(portrait.photo.pixels, worn)
    found = find_glasses(Blue().eval(), pixels, face_crop(portrait), torch.from_numpy(portrait.landmarks))
    assert found is not None
    both, either = (found > 0.5) & (worn.cover > 0.5), (found > 0.5) | (worn.cover > 0.5)
    assert both.sum() > 0.7 * either.sum()
    assert found[worn.cover == 0].mean() < 0.01


def test_specks_are_no_glasses(portrait: Portrait) -> None:
    found = np.zeros((20, 40), bool)
    found[2:4, 2:7] = True
    found[10:14, 10:20] = True
    kept = glasses_pieces(found)
    assert found[2:4, 2:7].sum() < SPECK
    assert not kept[:8].any()
    assert kept[10:14, 10:20].all()
    assert (
        find_glasses(
            Blue().eval(), portrait.photo.pixels, face_crop(portrait), torch.from_numpy(portrait.landmarks)
        )
        is None
    )


def test_a_few_pixels_are_none(portrait: Portrait) -> None:
    class Dot(AccessoryNet):
        """Sees next to nothing."""

        def forward(self, band: Tensor) -> Tensor:
            logits = torch.full_like(band[:, :1], -20)
            logits[..., 60:64, 100:105] = 9
            return logits

    pixels, marks = portrait.photo.pixels, torch.from_numpy(portrait.landmarks)
    assert find_glasses(Dot().eval(), pixels, face_crop(portrait), marks) is None


def test_soft_edges_of_specks_go_with_them(portrait: Portrait) -> None:
    class Soft(AccessoryNet):
        """Sees a bar, and something weak beside it."""

        def forward(self, band: Tensor) -> Tensor:
            logits = torch.full_like(band[:, :1], -20)
            logits[..., 40:48, 60:200] = 9
            logits[..., 90:110, 60:200] = -0.5
            return logits

    pixels, marks = portrait.photo.pixels, torch.from_numpy(portrait.landmarks)
    found = find_glasses(Soft().eval(), pixels, face_crop(portrait), marks)
    assert found is not None
    assert found.max() > 0.9
    assert found[int(marks[30, 1]) :].max() == 0


def test_numbers_that_are_none_are_refused(portrait: Portrait) -> None:
    net = AccessoryNet(0.25, (4, 4, 8, 8, 8)).eval()
    with torch.no_grad():
        for value, message in ((torch.nan, "aren't finite"), (1e20, "a certainty of 1e")):
            net.get_parameter("head.bias").fill_(value)
            with pytest.raises(WeightsError, match=f"AccessoryNet makes no head: .*{message}"):
                find_glasses(
                    net, portrait.photo.pixels, face_crop(portrait), torch.from_numpy(portrait.landmarks)
                )


@pytest.mark.parametrize("opacity", [0.0, 0.95])
def test_the_networks_find_drawn_glasses(opacity: float, portrait: Portrait, model: Portrait3D) -> None:
    kind = {"frame": np.array([0.1, 0.06, 0.05]), "lens": np.array([0.05, 0.05, 0.08]), "opacity": opacity}
    glasses = type(BLUE)(24, 17, 3, 3, **kind)
    wearer = with_glasses(portrait, glasses)
    assert portrait.glasses is None
    found = model.reconstruct(wearer.photo.pixels).glasses
    assert found is not None
    assert wearer.glasses is not None
    both = (found > 0.5) & (wearer.glasses > 0.5)
    assert both.sum() > 0.75 * ((found > 0.5) | (wearer.glasses > 0.5)).sum()


def test_a_small_photo_may_be_too_coarse(portrait: Portrait) -> None:
    pixels, marks = portrait.photo.pixels, torch.from_numpy(portrait.landmarks)

    class Line(AccessoryNet):
        """Sees a thin line in every photo."""

        def forward(self, band: Tensor) -> Tensor:
            grid = torch.zeros_like(band[:, :1]) - 9
            grid[..., 40:44, 60:200] = 9
            return grid

    net = Line().eval()
    assert find_glasses(net, pixels, face_crop(portrait), marks) is not None
    small = pixels[::16, ::16].copy()
    assert find_glasses(net, small, crop_from_landmarks(marks / 16), marks / 16) is None
