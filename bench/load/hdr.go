package load

import (
	"encoding/base64"
	"fmt"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
)

// Latencies are kept from 1 us to an hour, to three digits.
const longest = 3600e6

func newHistogram() *hdr.Histogram { return hdr.New(1, longest, 3) }

// LatencyOf sums up a histogram of microseconds.
func LatencyOf(h *hdr.Histogram) Latency {
	return Latency{
		Count: h.TotalCount(), Mean: h.Mean(), P50: h.ValueAtQuantile(50), P90: h.ValueAtQuantile(90),
		P99: h.ValueAtQuantile(99), P999: h.ValueAtQuantile(99.9), Max: h.Max(),
	}
}

// encode puts the histogram itself into l.
func (l *Latency) encode(h *hdr.Histogram) error {
	b, err := h.Encode(hdr.V2CompressedEncodingCookieBase)
	if err != nil {
		return fmt.Errorf("encoding a histogram: %w", err)
	}
	l.HDR = string(b)
	return nil
}

// Histogram returns the histogram that l sums up, for those who merge several.
func (l *Latency) Histogram() (*hdr.Histogram, error) {
	if l.HDR == "" {
		return newHistogram(), nil
	}
	if _, err := base64.StdEncoding.DecodeString(l.HDR); err != nil {
		return nil, fmt.Errorf("decoding a histogram: %w", err)
	}
	h, err := hdr.Decode([]byte(l.HDR))
	if err != nil {
		return nil, fmt.Errorf("decoding a histogram: %w", err)
	}
	return h, nil
}
