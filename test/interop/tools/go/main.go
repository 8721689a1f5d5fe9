// Reads a log with HdrHistogram's library for Go, says what is in it, and writes it again.
package main

import (
	"encoding/json"
	"os"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	in, err := os.Open(os.Args[1])
	check(err)
	out, err := os.Create(os.Args[2])
	check(err)
	reader := hdr.NewHistogramLogReader(in)
	writer := hdr.NewHistogramLogWriter(out)
	check(writer.OutputLogFormatVersion())
	check(writer.OutputLegend())
	answer := json.NewEncoder(os.Stdout)
	for {
		histogram, err := reader.NextIntervalHistogram()
		check(err)
		if histogram == nil {
			break
		}
		check(answer.Encode(map[string]any{
			"tag": histogram.Tag(), "count": histogram.TotalCount(), "max": histogram.Max(),
			"p50": histogram.ValueAtQuantile(50), "p99": histogram.ValueAtQuantile(99),
		}))
		check(writer.OutputIntervalHistogram(histogram))
	}
	check(out.Close())
}
