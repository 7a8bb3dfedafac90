"""The refinement network and the discriminator."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from portrait3d.models import refinement_net
from portrait3d.models.discriminator import Discriminator
from portrait3d.models.refinement_net import BRIGHTEST, GuidedUNet, RefinementNet
from portrait3d.reposing import guide
from portrait3d.reposing.guide import CHANNELS, STEEPNESS


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


# Guided


def a_guided_turn(drawn: bool = True) -> list[torch.Tensor]:
    """A picture with holes on the left, of seen skin on the right, and a reference that differs."""
    image, holes, guide = torch.rand(1, 3, 64, 64), torch.zeros(1, 1, 64, 64), torch.zeros(1, 9, 64, 64)
    if drawn:
        holes[..., :24] = 1
        guide[:, CHANNELS.index("unseen"), :, :24] = 1
        guide[:, CHANNELS.index("seen"), :, 24:] = 1
    guide[:, STEEPNESS] = 0.7
    guide[:, -3:] = 1 - image
    return [image, holes, guide]


def a_guided_net() -> RefinementNet:
    net = RefinementNet("guided", [8, 8, 8, 8, 8]).eval()
    assert isinstance(net.residual, GuidedUNet)
    return net


def heads_of(net: RefinementNet) -> tuple[torch.Tensor, torch.Tensor]:
    """Biases of the last layer, [5, 4] (colours, paint, copy), and of the gain's, [3]."""
    assert isinstance(net.residual, GuidedUNet)
    last, gain = net.residual.out[0], net.residual.gain
    assert isinstance(last, nn.Conv2d)
    assert last.bias is not None
    assert gain.bias is not None
    return last.bias.data.view(5, 4), gain.bias.data


@torch.no_grad()
def test_a_new_guided_network_changes_little() -> None:
    image, holes, guide = a_guided_turn()
    changed = (a_guided_net()(image, holes, guide) - image).abs()
    assert float(changed.mean()) < 0.05


@torch.no_grad()
def test_a_guided_network_paints_in_holes_and_elsewhere_if_it_decides_to() -> None:
    net, given = a_guided_net(), a_guided_turn()
    last, _ = heads_of(net)
    last[:3] = 0.2
    changed = (net.train()(*given) - given[0])[0].mean(0)
    assert float(changed[:, :20].mean()) > 0.1
    assert abs(float(changed[:, 28:].mean())) < 0.05
    last[3] = 10.0
    assert float((net(*given) - given[0])[..., 28:].mean()) > 0.1


@torch.no_grad()
def test_a_guided_network_can_copy_its_reference() -> None:
    net, given = a_guided_net(), a_guided_turn()
    last, _ = heads_of(net)
    last[4] = 20.0
    torch.testing.assert_close(net(*given), given[2][:, -3:], atol=0.05, rtol=0)


@torch.no_grad()
def test_a_guided_network_changes_the_light_smoothly() -> None:
    net, given = a_guided_net(), a_guided_turn()
    last, gain = heads_of(net)
    last[3:] = -20.0  # neither painted nor copied
    gain[0] = 20.0
    ratio = (net.train()(*given) / given[0])[0]
    assert float(ratio[0].median()) == pytest.approx(BRIGHTEST, rel=0.02)
    assert float((ratio[0] - BRIGHTEST).abs().max()) < 0.1
    assert float((ratio[1:] - 1).abs().max()) < 0.1


@torch.no_grad()
def test_where_nothing_was_drawn_nothing_changes() -> None:
    net, given = a_guided_net(), a_guided_turn(drawn=False)
    last, gain = heads_of(net)
    last[:], gain[:] = 5.0, 5.0
    assert torch.equal(net(*given), given[0])


def test_every_input_of_a_guided_network_matters() -> None:
    net, given = a_guided_net().train(), a_guided_turn()
    for value in given:
        value.requires_grad_(True)
    last, _ = heads_of(net)
    last[3] = 1.0
    net(*given).square().sum().backward()
    for value in given:
        assert value.grad is not None
        assert (value.grad.abs().sum((0, 2, 3)) > 0).all()


def test_the_guided_network_takes_3_gmac_at_most() -> None:
    with torch.device("meta"):
        net = RefinementNet("guided")
        given = [torch.zeros(1, channels, 256, 256) for channels in (3, 1, 9)]
    counted: list[float] = []

    def count(layer: nn.Module, _: object, out: torch.Tensor) -> None:
        assert isinstance(layer, nn.Conv2d)
        counted.append(out[0].numel() * layer.weight[0].numel() / 1e9)

    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(count)
    net(*given)
    assert 1.5 < sum(counted) < 3


def test_a_guided_network_without_a_guide_says_so() -> None:
    image, holes, _ = a_guided_turn()
    with pytest.raises(ValueError, match="guide"):
        a_guided_net()(image, holes)


def test_the_network_knows_the_guides_channels() -> None:
    assert (len(CHANNELS), len(guide.LAYERS)) == (refinement_net.GUIDE, refinement_net.LAYERS)
    assert CHANNELS[-3:] == ("red", "green", "blue")
