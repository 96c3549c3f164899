package main

import (
	"context"
	"errors"
	"slices"
	"time"
)

const (
	// samples are taken of each measurement; the median is reported.
	samples = 31
	// sample is how long one lasts, so that the clock's resolution does not matter.
	sample = 2 * time.Millisecond
)

// benchmarkRow evaluates a row, and times its evaluation (the variables converted once, as admission
// does for all expressions of a request) and its compilation to a program.
func benchmarkRow(in *row) answer {
	out := evaluateRow(in)
	if _, fails := out["error"]; fails {
		return out
	}
	vars, names, err := in.variables()
	if err != nil {
		return failed("input", err)
	}
	env, err := in.environment(names)
	if err != nil {
		return failed("env", err)
	}
	compile := func() error {
		ast, issues := env.Compile(in.Expr)
		if issues.Err() != nil {
			return issues.Err()
		}
		_, err := program(env, ast)
		return err
	}
	ast, issues := env.Compile(in.Expr)
	if issues.Err() != nil {
		return failed("compile", issues.Err())
	}
	made, err := program(env, ast)
	if err != nil {
		return failed("program", err)
	}
	ctx, input := context.Background(), in.input(vars)
	evaluate := func() error {
		_, details, err := made.ContextEval(ctx, input)
		if details == nil || details.ActualCost() == nil {
			return errors.Join(err, errors.New("the cost is not tracked"))
		}
		return err
	}
	if out["evaluationNs"], err = median(evaluate); err != nil {
		return failed("eval", err)
	}
	if out["compilationNs"], err = median(compile); err != nil {
		return failed("compile", err)
	}
	return out
}

// median returns the time of one call in nanoseconds.
func median(work func() error) (float64, error) {
	start := time.Now()
	if err := work(); err != nil {
		return 0, err
	}
	turns := max(1, int(sample/max(time.Since(start), 20*time.Nanosecond)))
	times := make([]float64, samples)
	for at := range times {
		start := time.Now()
		for range turns {
			if err := work(); err != nil {
				return 0, err
			}
		}
		times[at] = float64(time.Since(start).Nanoseconds()) / float64(turns)
	}
	slices.Sort(times)
	return times[samples/2], nil
}
