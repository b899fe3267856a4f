"""Random numbers: PyTorch's streams, and the functions that draw from them."""
