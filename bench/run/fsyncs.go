package run

import (
	"context"
	"os"
	"path/filepath"

	"github.com/postroad/postroad/bench/measure"
)

// countFsyncs has another instance relay some mail under strace.
func countFsyncs(ctx context.Context, sc *scene, p point, of *stage) error {
	if err := measure.TraceAvailable(); err != nil {
		return err
	}
	dir, err := folder(sc.o.Dir, "trace-")
	if err != nil {
		return err
	}
	trace := measure.NewTrace(filepath.Join(dir, "strace"))
	defer os.RemoveAll(dir)
	st, err := newStage(ctx, sc, p, of.name, trace.Under())
	if err != nil {
		return err
	}
	defer st.close()
	st.rate = of.rate / 3 // traced, it is slower
	if err := st.warmUp(ctx); err != nil {
		return err
	}
	before, err := trace.Count()
	if err != nil {
		return err
	}
	if err := st.through(ctx); err != nil {
		return err
	}
	after, err := trace.Count()
	if err != nil || st.result.Messages == 0 {
		return err
	}
	of.result.Add("fsyncs", float64(after-before)/float64(st.result.Messages))
	of.result.Faults = append(of.result.Faults, st.result.Faults...)
	return nil
}
