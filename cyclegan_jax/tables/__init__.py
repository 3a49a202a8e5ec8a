"""The paper's tables 2 to 5: trains and scores their rows, beside its numbers."""
