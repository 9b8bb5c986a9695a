"""Reports: records in; one offline HTML page, a Markdown summary with its figures, and results.json out."""

from rnnbench.report.source import check_output
from rnnbench.report.write import report_from_folder, write_report

__all__ = ["check_output", "report_from_folder", "write_report"]
