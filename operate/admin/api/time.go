package api

import "time"

// Time is a point in time as all answers have it: RFC 3339 in UTC with milliseconds. Any form of
// RFC 3339 is read.
type Time struct{ time.Time }

// At returns t as answers have it.
func At(t time.Time) Time { return Time{t} }

const timeForm = `"2006-01-02T15:04:05.000Z"`

// MarshalJSON returns the JSON string.
func (t Time) MarshalJSON() ([]byte, error) { return []byte(t.UTC().Format(timeForm)), nil }
