"""Where there is no GPU, work is done as it is, each time anew."""

from __future__ import annotations

import torch

from insula.nn import Recorder


def test_without_a_gpu_work_is_done_each_time() -> None:
    recorder, done = Recorder(torch.device("cpu")), []
    assert not recorder.on
    for n in range(6):
        assert recorder.run("key", lambda n=n: done.append(n) or n) == n  # type: ignore[misc]
    assert done == list(range(6))
    recorder.clear()


def test_one_that_is_off_never_records() -> None:
    assert not Recorder(torch.device("cuda"), on=False).on
    assert Recorder(torch.device("cuda")).on
