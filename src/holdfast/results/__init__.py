"""Finished runs as small files that a repository can hold: settings, numbers, and the records behind them."""

from holdfast.results.store import RunResult, export_run, load_result, load_results, result_of

__all__ = ["RunResult", "export_run", "load_result", "load_results", "result_of"]
