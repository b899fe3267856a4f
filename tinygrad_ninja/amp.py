"""Mixed precision: the products in half precision, what needs more in float32, and the parameters in float32.

    scaler = GradScaler("cuda")
    with autocast("cuda", float16):
        loss = F.cross_entropy(model(x), y)
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    scaler.update()

Source: Micikevicius et al., Mixed Precision Training (2018).
"""

from .api.autocast import autocast, get_autocast_dtype, is_autocast_enabled
from .optim.grad_scaler import GradScaler

__all__ = ["GradScaler", "autocast", "get_autocast_dtype", "is_autocast_enabled"]
