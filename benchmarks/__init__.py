"""Side-by-side timings that anyone can rerun; docs/performance.md explains them."""
