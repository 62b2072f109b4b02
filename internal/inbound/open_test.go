package inbound

import (
	"context"
	"testing"
	"testing/synctest"
)

func TestOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := NewOpen()
		if o.Enter() || o.Enter() || o.Enter() || o.Count() != 3 {
			t.Fatalf("%d are open", o.Count())
		}
		o.Leave() // before the stop
		o.Stop()
		if !o.Enter() {
			t.Error("a connection was not told that the server stops")
		}
		cut, cancel := context.WithCancel(t.Context())
		cancel()
		if err := o.Wait(cut); err != context.Canceled {
			t.Errorf("%v while %d are open", err, o.Count())
		}
		waited := make(chan error, 1)
		go func() { waited <- o.Wait(t.Context()) }()
		for left := 3; left > 0; left-- {
			synctest.Wait()
			select {
			case <-waited:
				t.Fatalf("the wait ended while %d are open", left)
			default:
			}
			o.Leave()
		}
		if err := <-waited; err != nil {
			t.Error(err)
		}
	})
}
