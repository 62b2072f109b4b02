package faults

import (
	"testing"

	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// A machine that stood still for longer than a lease excuses what its nodes could not note, and a
// shorter stop nothing.
func TestStill(t *testing.T) {
	c := &Cluster{}
	c.mu.nodes = []*Node{{Number: 1}, {Number: 2}}
	d := &Driver{Cluster: c, World: &World{}}
	d.stood(at(10), at(10.5))
	if f := d.Faults(); len(f) != 0 {
		t.Errorf("half a second is noted: %v", f)
	}
	d.stood(at(20), at(21.2))
	h := &History{Tries: []Try{told("a"), told("b")}, Faults: d.Faults(),
		Attempts: noted("a", 1, 22.1, true),
		Deliveries: []mailtest.Delivery{came("a", 1, 19.9), came("a", 1, 22), came("b", 1, 15),
			came("b", 1, 22)}}
	v := Check(h, Rules{})
	if v.Duplicates != 1 || v.Unexcused.N != 1 || v.ByFault[0].N != 1 {
		t.Errorf("%v", v)
	}
}

// Mail that was on its way when the machine stopped is accepted when it goes on, however late:
// the receiving server stood still with the nodes.
func TestStillForLong(t *testing.T) {
	c := &Cluster{}
	c.mu.nodes = []*Node{{Number: 1}, {Number: 2}}
	d := &Driver{Cluster: c, World: &World{}}
	d.stood(at(20), at(26.4))
	h := &History{
		Tries: []Try{told("a"), told("b")}, Faults: d.Faults(),
		Attempts: noted("a", 1, 28, true),
		Deliveries: []mailtest.Delivery{
			came("a", 1, 25.8), came("a", 1, 28), came("b", 1, 30), came("b", 1, 31),
		},
	}
	v := Check(h, Rules{})
	if v.Duplicates != 1 || v.Unexcused.N != 1 || v.Unexcused.First[0].ID != "b" {
		t.Errorf("%v", v)
	}
}
