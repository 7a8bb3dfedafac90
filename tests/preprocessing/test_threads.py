"""Work side by side."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from portrait3d.preprocessing.threads import side_by_side


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_results_keep_their_order_and_run_at_once() -> None:
    together = threading.Barrier(3, timeout=30)

    def work(number: int, word: str) -> str:
        together.wait()
        return word * number

    assert side_by_side(work, [1, 2, 3], "abc") == ["a", "bb", "ccc"]


def test_torchs_threads_are_shared_out_meanwhile_and_come_back_after_errors() -> None:
    assert side_by_side(lambda _: torch.get_num_threads(), [0, 1]) == [1, 1]
    assert torch.get_num_threads() == 2
    with pytest.raises(ZeroDivisionError):
        side_by_side(lambda number: 1 / number, [1, 0])
    assert torch.get_num_threads() == 2


def test_threads_that_take_no_part_keep_their_number() -> None:
    with ThreadPoolExecutor(1) as earlier:
        earlier.submit(torch.get_num_threads).result()
        begun = threading.Barrier(2, timeout=30)

        def work(_: int) -> tuple[int, int, int]:
            begun.wait()
            with ThreadPoolExecutor(1) as later:
                return (
                    torch.get_num_threads(),
                    earlier.submit(torch.get_num_threads).result(),
                    later.submit(torch.get_num_threads).result(),
                )

        assert side_by_side(work, [0, 1]) == [(1, 2, 2)] * 2


def test_calls_at_the_same_time_leave_torchs_threads_as_they_were() -> None:

    def work(_: int) -> list[list[int]]:
        return side_by_side(lambda _: side_by_side(lambda _: torch.get_num_threads(), "ab"), "ab")

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(40))) == [[[1, 1]] * 2] * 40
    with ThreadPoolExecutor(1) as later:
        assert later.submit(torch.get_num_threads).result() == 2


def test_where_torch_has_one_thread_everything_runs_in_it() -> None:
    torch.set_num_threads(1)
    assert side_by_side(lambda _: threading.get_ident(), "ab") == [threading.get_ident()] * 2
