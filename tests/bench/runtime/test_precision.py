"""Full float32 while it is asked for, and afterwards what the caller had."""

from __future__ import annotations

import pytest

from bench.runtime import precision

torch = pytest.importorskip("torch")


def test_tf32_is_off_inside_and_as_it_was_outside() -> None:
    torch.set_float32_matmul_precision("high")
    try:
        with precision.full_float32():
            assert torch.get_float32_matmul_precision() == "highest"
            assert not torch.backends.cudnn.allow_tf32 and torch.backends.cudnn.deterministic
        assert torch.get_float32_matmul_precision() == "high"
        with pytest.raises(RuntimeError), precision.full_float32():
            raise RuntimeError
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision("highest")


def test_inference_ignores_autocast_and_keeps_no_gradients() -> None:
    layer = torch.nn.Linear(4, 4)
    with torch.autocast("cpu", torch.bfloat16), precision.inference():
        out = layer(torch.ones(1, 4))
    assert out.dtype == torch.float32 and not out.requires_grad


def test_device_is_one_that_works() -> None:
    assert torch.ones(2, device=precision.device()).sum() == 2
