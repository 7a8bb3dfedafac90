"""Work side by side."""

import threading

import pytest
import torch

from portrait3d.preprocessing.threads import side_by_side


def test_results_keep_their_order_and_run_at_once() -> None:
    together = threading.Barrier(3, timeout=30)

    def work(number: int, word: str) -> str:
        together.wait()
        return word * number

    assert side_by_side(work, [1, 2, 3], "abc") == ["a", "bb", "ccc"]


def test_torchs_threads_are_shared_out_meanwhile_and_come_back_after_errors() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert side_by_side(lambda _: torch.get_num_threads(), [0, 1]) == [1, 1]
        assert torch.get_num_threads() == 2
        with pytest.raises(ZeroDivisionError):
            side_by_side(lambda number: 1 / number, [1, 0])
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
