"""PyTorch's weights in and out, without PyTorch."""
