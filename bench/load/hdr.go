package load

import (
	"encoding/json"
	"fmt"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
)

// Latencies are kept from 1 us to an hour, to three digits.
const longest = 3600e6

func newHistogram() *hdr.Histogram { return hdr.New(1, longest, 3) }

// LatencyOf sums up a histogram of microseconds.
func LatencyOf(h *hdr.Histogram) Latency {
	return Latency{
		Count: h.TotalCount(), Mean: h.Mean(), P50: h.ValueAtQuantile(50),
		P90: h.ValueAtQuantile(90),
		P99: h.ValueAtQuantile(99), P999: h.ValueAtQuantile(99.9), Max: h.Max(), h: h,
	}
}

// Histogram returns the histogram that l sums up, for those who merge several.
func (l *Latency) Histogram() *hdr.Histogram {
	if l.h == nil {
		return newHistogram()
	}
	return l.h
}

// plain is Latency without its methods.
type plain Latency

// MarshalJSON writes the histogram as well.
func (l Latency) MarshalJSON() ([]byte, error) {
	text := ""
	if l.Count > 0 {
		b, err := l.h.Encode(hdr.V2CompressedEncodingCookieBase)
		if err != nil {
			return nil, fmt.Errorf("encoding a histogram: %w", err)
		}
		text = string(b)
	}
	return json.Marshal(struct {
		plain
		HDR string `json:"hdr,omitempty"`
	}{plain(l), text})
}

// UnmarshalJSON reads what MarshalJSON has written.
func (l *Latency) UnmarshalJSON(text []byte) error {
	read := struct {
		*plain
		HDR string `json:"hdr"`
	}{plain: (*plain)(l)}
	if err := json.Unmarshal(text, &read); err != nil || read.HDR == "" {
		return err
	}
	h, err := hdr.Decode([]byte(read.HDR))
	if err != nil {
		return fmt.Errorf("decoding a histogram: %w", err)
	}
	l.h = h
	return nil
}
