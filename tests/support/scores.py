"""When two scores of the same images count as one number."""

from __future__ import annotations

import pytest

from cmdmetric import CMDScore


def same_numbers(a: CMDScore, b: CMDScore, rel: float) -> bool:
    """Whether all distances agree to `rel`, as float32 features of other batches do to 1e-6.

    ITDis, and CMD with it, is the difference of two distances to the captions: it is off by as much
    as they are, however small it is itself.
    """
    distances = all(
        getattr(a, name) == pytest.approx(getattr(b, name), rel=rel, abs=rel)
        for name in ("dis_fr", "dis_fl", "dis_rl")
    )
    return distances and all(
        getattr(a, name) == pytest.approx(getattr(b, name), rel=rel, abs=rel * b.dis_rl)
        for name in ("cmd", "itdis")
    )
