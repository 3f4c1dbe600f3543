"""Finished runs as small files that a repository can hold: settings, numbers, and the records behind them."""

from holdfast.results.result import RunResult, result_of
from holdfast.results.store import export_run, load_result, load_results

__all__ = ["RunResult", "export_run", "load_result", "load_results", "result_of"]
