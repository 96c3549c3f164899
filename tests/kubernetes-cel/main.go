// kubernetes-cel answers what Kubernetes' own CEL environment gives for an expression.
//
// Rows of JSON come in on standard input, one answer a row goes out, in order:
//
//	{"expr":"object.spec.replicas > 2","vars":{"object":{"spec":{"replicas":3}}},"env":"dyn"}
//	{"value":true,"typed":{"bool":true},"type":"bool","staticType":"bool","cost":3,
//	 "estimate":{"min":1,"max":1}}
//
// With -bench every row is also timed: "evaluationNs" and "compilationNs" are medians.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"os"
)

// row is one expression with the variables it reads.
type row struct {
	ID   any             `json:"id,omitempty"`
	Expr string          `json:"expr"`
	Vars json.RawMessage `json:"vars,omitempty"`
	// Env says how the variables are declared: "dyn" (every given one is dyn), "admission" (those of
	// a ValidatingAdmissionPolicy) or "patch" (those of a MutatingAdmissionPolicy, with its types).
	Env string `json:"env,omitempty"`
	// EnvMode is "stored" (everything the version can run) or "new" (what may be written).
	EnvMode string `json:"envMode,omitempty"`
	// Extensions says whether cel-go's math and encoders extensions are there, which Kubernetes does
	// not have.
	Extensions bool `json:"extensions,omitempty"`
	// Version is the compatibility version of the environment; the newest by default.
	Version string `json:"version,omitempty"`
	// Sizes are what the estimate takes for known: by path, the least and the most.
	Sizes map[string][2]uint64 `json:"sizes,omitempty"`
}

type answer map[string]any

func main() {
	bench := flag.Bool("bench", false, "time each row")
	flag.Parse()
	handle := evaluateRow
	if *bench {
		handle = benchmarkRow
	}
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	for {
		line, err := in.ReadBytes('\n')
		if len(line) > 1 {
			if err := encoder.Encode(answerTo(line, handle)); err != nil {
				fmt.Fprintln(os.Stderr, "kubernetes-cel:", err)
				os.Exit(1)
			}
			// Whoever waits for the last answer before writing the next row gets it.
			if in.Buffered() == 0 {
				out.Flush()
			}
		}
		if err != nil {
			return
		}
	}
}

// answerTo handles one line; a panic of cel-go is an answer too.
func answerTo(line []byte, handle func(*row) answer) (out answer) {
	var in row
	defer func() {
		if reason := recover(); reason != nil {
			out = answer{"error": fmt.Sprintf("panic: %v", reason), "phase": "panic"}
		}
		if in.ID != nil {
			out["id"] = in.ID
		}
	}()
	if err := json.Unmarshal(line, &in); err != nil {
		return failed("input", err)
	}
	return handle(&in)
}

func failed(phase string, err error) answer {
	return answer{"error": err.Error(), "phase": phase}
}
