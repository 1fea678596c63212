"""The report: one self-contained page of a run's folder, and of two runs side by side."""
