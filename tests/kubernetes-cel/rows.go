package main

import (
	"context"

	"github.com/google/cel-go/cel"
)

// evaluateRow compiles and evaluates one expression.
func evaluateRow(in *row) answer {
	vars, names, err := in.variables()
	if err != nil {
		return failed("input", err)
	}
	env, err := in.environment(names)
	if err != nil {
		return failed("env", err)
	}
	ast, issues := env.Compile(in.Expr)
	if issues.Err() != nil {
		messages := []string{}
		for _, issue := range issues.Errors() {
			messages = append(messages, issue.Message)
		}
		return answer{"error": issues.String(), "messages": messages, "phase": "compile"}
	}
	out := answer{"staticType": ast.OutputType().String()}
	if out["estimate"], err = in.estimate(env, ast); err != nil {
		return failed("estimate", err)
	}
	made, err := program(env, ast)
	if err != nil {
		out["error"], out["phase"] = err.Error(), "program"
		return out
	}
	value, details, err := made.ContextEval(context.Background(), in.input(vars))
	if details != nil && details.ActualCost() != nil {
		out["cost"] = *details.ActualCost()
	}
	if err != nil {
		out["error"], out["phase"] = err.Error(), "eval"
		return out
	}
	out["value"], out["typed"], out["type"] = plain(value), typed(value), value.Type().TypeName()
	return out
}

// input is what a program reads its variables from.
func (in *row) input(vars map[string]any) any {
	if in.Env == "" || in.Env == "dyn" {
		return vars
	}
	var read cel.Activation = &activation{
		object:          vars["object"],
		oldObject:       vars["oldObject"],
		params:          vars["params"],
		request:         vars["request"],
		namespaceObject: vars["namespaceObject"],
	}
	return read
}
