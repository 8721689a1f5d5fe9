"""Reads a log with HdrHistogram's library for Python, says what is in it, and writes it again."""
import json
import sys

from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader, HistogramLogWriter

reader = HistogramLogReader(sys.argv[1], HdrHistogram(1, 2**31, 2))
with open(sys.argv[2], "w") as out:
    writer = HistogramLogWriter(out)
    writer.output_log_format_version()
    writer.output_legend()
    while histogram := reader.get_next_interval_histogram():
        tag = histogram.get_tag()
        print(json.dumps({
            "tag": tag, "count": histogram.get_total_count(), "max": histogram.get_max_value(),
            "p50": histogram.get_value_at_percentile(50), "p99": histogram.get_value_at_percentile(99),
        }))
        writer.output_interval_histogram(histogram)
