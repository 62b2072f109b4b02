package wire

import (
	"net"
	"testing"
)

// TestWhoAnswers: at an address a member is known, by whatever name it is dialled; strangers, and
// those that say nothing, are nobody. Who only looks is not worth a line of the log.
func TestWhoAnswers(t *testing.T) {
	w, other := newWorld(t), newWorld(t)
	a := w.port(1)
	w.port(2, func(o *Options) { o.Logf = t.Errorf })
	other.port(1)
	there, _ := w.address(2)
	_, port, err := net.SplitHostPort(there)
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{there, net.JoinHostPort("localhost", port)} {
		if who, err := a.Who(t.Context(), address); err != nil || who != w.id(2) {
			t.Errorf("at %s %v answers, %v", address, who, err)
		}
	}
	here, _ := w.address(1)
	if who, err := a.Who(t.Context(), here); err != nil || who != w.id(1) {
		t.Errorf("here %v answers, %v", who, err)
	}
	foreign, _ := other.address(1)
	for _, address := range []string{foreign, "127.0.0.1:1"} {
		if who, err := a.Who(t.Context(), address); err == nil {
			t.Errorf("at %s %v answers", address, who)
		}
	}
}
