package cluster

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"
	"time"
)

func FuzzBeatAsks(f *testing.F) {
	f.Add(appendBeatAsks(nil, 900*time.Millisecond, []beatAsk{{1, 7}, {300, 1 << 40}}))
	f.Add(appendBeatAsks(nil, 0, nil))
	f.Add([]byte{beatVersion, 1, 0xff, 0xff, 3})
	f.Add([]byte{beatVersion + 1, 1, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		hold, asks, err := parseBeatAsks(b, nil)
		if err != nil {
			return
		}
		hold2, again, err := parseBeatAsks(appendBeatAsks(nil, hold, asks), nil)
		if err != nil || hold != hold2 || !slices.Equal(asks, again) {
			t.Errorf("%v %v is read as %v %v, %v", hold, asks, hold2, again, err)
		}
	})
}

func FuzzBeatAnswers(f *testing.F) {
	f.Add(appendBeatAnswers(nil, []beatAnswer{{beatTaken, 7, 1000}, {}, {beatRefused, 1 << 40, 1}}))
	f.Add([]byte{beatVersion, 1, byte(beatStates), 0, 0})
	f.Add([]byte{beatVersion, 0x80})
	f.Fuzz(func(t *testing.T, b []byte) {
		answers, err := parseBeatAnswers(b, nil)
		if err != nil {
			return
		}
		again, err := parseBeatAnswers(appendBeatAnswers(nil, answers), nil)
		if err != nil || !slices.Equal(answers, again) {
			t.Errorf("%v is read as %v, %v", answers, again, err)
		}
	})
}

// TestBeatFrames: frames follow each other in one buffer; one that is too large, or ends early, is
// an error.
func TestBeatFrames(t *testing.T) {
	var wire bytes.Buffer
	var in, out []byte
	for i := range 3 {
		want := bytes.Repeat([]byte{byte(i)}, 10*i)
		if err := writeBeat(&wire, &out, func(b []byte) []byte {
			return append(b, want...)
		}); err != nil {
			t.Fatal(err)
		}
		if got, err := readBeat(&wire, &in); err != nil || !bytes.Equal(got, want) {
			t.Errorf("frame %d: %v, %v", i, got, err)
		}
	}
	if _, err := readBeat(bytes.NewReader([]byte{0xff, 0, 0, 0, 1}), &in); !errors.Is(
		err,
		errBadBeat,
	) {
		t.Errorf("a huge frame: %v", err)
	}
	if _, err := readBeat(bytes.NewReader([]byte{0, 0, 0, 2, 1}), &in); !errors.Is(
		err,
		io.ErrUnexpectedEOF,
	) {
		t.Errorf("half a frame: %v", err)
	}
	if err := writeBeat(&wire, &out, func(b []byte) []byte {
		return append(b, make([]byte, maxBeatFrame+1)...)
	}); err == nil ||
		wire.Len() > 0 {
		t.Errorf("too large a frame is written: %v", err)
	}
}
