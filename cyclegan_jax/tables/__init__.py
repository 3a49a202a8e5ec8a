"""The paper's tables 2 to 5: its rows trained, scored and set beside its numbers."""
