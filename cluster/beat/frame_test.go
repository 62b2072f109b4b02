package beat

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"
	"time"
)

func FuzzAsks(f *testing.F) {
	f.Add(appendAsks(nil, 900*time.Millisecond, []Ask{{1, 7}, {300, 1 << 40}}))
	f.Add(appendAsks(nil, 0, nil))
	f.Add([]byte{version, 1, 0xff, 0xff, 3})
	f.Add([]byte{version + 1, 1, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		hold, asks, err := parseAsks(b, nil)
		if err != nil {
			return
		}
		hold2, again, err := parseAsks(appendAsks(nil, hold, asks), nil)
		if err != nil || hold != hold2 || !slices.Equal(asks, again) {
			t.Errorf("%v %v is read as %v %v, %v", hold, asks, hold2, again, err)
		}
	})
}

func FuzzAnswers(f *testing.F) {
	f.Add(appendAnswers(nil, []Answer{{Taken, 7, 1000}, {}, {Refused, 1 << 40, 1}}))
	f.Add([]byte{version, 1, byte(states), 0, 0})
	f.Add([]byte{version, 0x80})
	f.Fuzz(func(t *testing.T, b []byte) {
		answers, err := parseAnswers(b, nil)
		if err != nil {
			return
		}
		again, err := parseAnswers(appendAnswers(nil, answers), nil)
		if err != nil || !slices.Equal(answers, again) {
			t.Errorf("%v is read as %v, %v", answers, again, err)
		}
	})
}

// TestFrames: frames follow each other in one buffer; one that is too large, or ends early, is
// an error.
func TestFrames(t *testing.T) {
	var wire bytes.Buffer
	var in, out []byte
	for i := range 3 {
		want := bytes.Repeat([]byte{byte(i)}, 10*i)
		if err := writeFrame(&wire, &out, func(b []byte) []byte {
			return append(b, want...)
		}); err != nil {
			t.Fatal(err)
		}
		if got, err := readFrame(&wire, &in); err != nil || !bytes.Equal(got, want) {
			t.Errorf("frame %d: %v, %v", i, got, err)
		}
	}
	if _, err := readFrame(bytes.NewReader([]byte{0xff, 0, 0, 0, 1}), &in); !errors.Is(
		err,
		errMalformed,
	) {
		t.Errorf("a huge frame: %v", err)
	}
	if _, err := readFrame(bytes.NewReader([]byte{0, 0, 0, 2, 1}), &in); !errors.Is(
		err,
		io.ErrUnexpectedEOF,
	) {
		t.Errorf("half a frame: %v", err)
	}
	if err := writeFrame(&wire, &out, func(b []byte) []byte {
		return append(b, make([]byte, maxFrame+1)...)
	}); err == nil ||
		wire.Len() > 0 {
		t.Errorf("too large a frame is written: %v", err)
	}
}
