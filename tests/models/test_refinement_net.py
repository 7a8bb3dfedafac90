"""The refinement network and the discriminator."""

import pytest
import torch
import torch.nn.functional as F

from portrait3d.models.discriminator import Discriminator
from portrait3d.models.refinement_net import RefinementNet


def test_a_new_network_passes_pictures_through() -> None:
    image = torch.rand(1, 3, 64, 64)
    for training in (True, False):
        net = RefinementNet().train(training)
        with torch.no_grad():
            repaired = net(image, torch.zeros(1, 1, 64, 64))
        assert float((repaired - image).abs().max()) < 0.05


def test_both_presets_give_whole_pictures_in_range() -> None:
    image, holes = torch.rand(2, 3, 64, 96), (torch.rand(2, 1, 64, 96) > 0.9).float()
    for net in (RefinementNet("light"), RefinementNet("paper", [4])):
        with torch.no_grad():
            repaired = net.eval()(image, holes)
        assert repaired.shape == image.shape
        assert float(repaired.min()) >= 0
        assert float(repaired.max()) <= 1


def test_a_blended_network_changes_holes_alone() -> None:
    image, holes = torch.rand(1, 3, 64, 64), torch.zeros(1, 1, 64, 64)
    holes[..., 20:40, 10:30] = 1
    for preset, channels in (("light", [8] * 5), ("paper", [4])):
        net = RefinementNet(preset, channels, blended=True).eval()
        with torch.no_grad():
            changed = (net(image, holes) - image).abs()
        assert float((changed * (1 - holes)).max()) == 0
        assert float((changed * holes).max()) > 0


def test_the_light_network_stays_light() -> None:
    assert sum(parameter.numel() for parameter in RefinementNet().parameters()) < 5_000_000


def test_the_papers_generator_has_the_size_of_pix2pixhd() -> None:
    with torch.device("meta"):
        net = RefinementNet("paper")
    assert 180e6 < sum(parameter.numel() for parameter in net.parameters()) < 185e6


def test_settings_build_the_same_network_again() -> None:
    for net in (RefinementNet("paper", [4], blended=True), RefinementNet("light", [8] * 5)):
        again = RefinementNet(**net.settings)
        assert again.settings == net.settings
        assert again.blended == net.blended
        again.load_state_dict(net.state_dict())


def test_unknown_presets_and_odd_channels_are_refused() -> None:
    with pytest.raises(ValueError, match="huge"):
        RefinementNet("huge")
    with pytest.raises(ValueError, match="5 channel counts"):
        RefinementNet("light", [8, 8])


def test_one_batch_can_be_learned() -> None:
    torch.manual_seed(0)
    image, holes = torch.full((2, 3, 64, 64), 0.4), torch.zeros(2, 1, 64, 64)
    holes[..., 20:40, 10:30] = 1
    original = image + 0.3 * holes
    net = RefinementNet("light", [8, 12, 16, 16, 16]).train()
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    losses = []
    for _ in range(40):
        loss = (net(image, holes) - original).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert min(losses) < losses[0] / 3


def test_the_discriminator_scores_patches_at_every_scale() -> None:
    scores = Discriminator(filters=4, layers=3, scales=2)(torch.rand(2, 3, 128, 128))
    assert [score.shape[:2] for score in scores] == [(2, 1), (2, 1)]
    assert scores[0].shape[-1] > scores[1].shape[-1] > 1


def test_the_discriminator_learns_to_tell_sharp_from_blurred() -> None:
    torch.manual_seed(0)
    sharp = torch.rand(2, 3, 48, 48)
    blurred = F.avg_pool2d(sharp, 5, 1, 2, count_include_pad=False)
    net = Discriminator(filters=4, layers=2, scales=1)
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    for _ in range(20):
        pairs = zip(net(sharp), net(blurred), strict=True)
        loss = torch.stack([(r - 1).square().mean() + f.square().mean() for r, f in pairs]).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        assert float(net(sharp)[0].mean()) > float(net(blurred)[0].mean()) + 0.2
