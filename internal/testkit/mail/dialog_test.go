package mail

import (
	"strings"
	"testing"
)

// A sender that chooses keeps to what each server said: accepted, put off, or silent.
func TestDialog(t *testing.T) {
	left := make(chan uint64, 1)
	sink, err := StartSink(SinkOptions{Left: func(session uint64) { left <- session }})
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	gen := &Generator{Seed: 1, Run: "dialog", Domains: []string{"a.example"}, Size: 4096}
	d, err := Dial(t.Context(), SendOptions{Addr: sink.Addr(), Pipelining: true})
	if err != nil {
		t.Fatal(err)
	}
	m := gen.Message(1)
	if s := d.Send(m); s.Err != nil || len(s.Accepted) != 1 || !d.Alive() {
		t.Fatalf("plainly: %+v", s)
	}
	sink.SetHook(func(s *Step) Action {
		switch {
		case s.At == AtEnd && s.Nth == 2:
			return Action{Reply: "451 4.3.2 later"}
		case s.At == AtEnd:
			return Action{Cut: true}
		}
		return Action{}
	})
	if s := d.Send(m.As("x-2")); s.Err == nil || len(s.Accepted)+len(s.Unknown) != 0 || !d.Alive() {
		t.Fatalf("put off: %+v", s)
	}
	if s := d.Send(m.As("x-3")); s.Err == nil || len(s.Unknown) != 1 || d.Alive() {
		t.Fatalf("cut off: %+v", s)
	}
	d.Close()
	if session := <-left; session != 1 {
		t.Errorf("connection %d left", session)
	}
	got := sink.Deliveries()
	if len(got) != 1 || got[0].ID != m.ID || got[0].Sum != m.Sum || !got[0].Remote.IsValid() {
		t.Errorf("delivered: %+v", got)
	}
}

// The same message under another ID differs in its first line only.
func TestAs(t *testing.T) {
	gen := &Generator{Seed: 1, Run: "as", Domains: []string{"a.example"}}
	m := gen.Message(3)
	other := m.As("other.2")
	sum, id := SumOf(other.Content)
	if id != "other.2" || sum != other.Sum {
		t.Errorf("ID %q", id)
	}
	back := other.As(m.ID)
	if back.Sum != m.Sum || !strings.HasPrefix(string(m.Content), Marker+": "+m.ID+"\r\n") {
		t.Error("there and back is not the same")
	}
}
