"""The paper's tables, figures and theorems, made again: ours beside the published number, and a verdict a claim."""
