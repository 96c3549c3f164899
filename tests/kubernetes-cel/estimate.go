package main

import (
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/checker"

	"k8s.io/apiserver/pkg/cel/library"
)

// sizes answers with the sizes a row gives for paths; of what it does not name nothing is known.
type sizes map[string][2]uint64

func (s sizes) EstimateSize(node checker.AstNode) *checker.SizeEstimate {
	path := node.Path()
	if size, ok := s[strings.Join(path, ".")]; ok && len(path) > 0 {
		return &checker.SizeEstimate{Min: size[0], Max: size[1]}
	}
	return nil
}

func (s sizes) EstimateCallCost(string, string, *checker.AstNode, []checker.AstNode) *checker.CallEstimate {
	return nil
}

// estimate says what an expression costs at least and at most, as the API server estimates it for
// the rules of custom resources (apiextensions-apiserver pkg/apiserver/schema/cel/compilation.go).
func (in *row) estimate(env *cel.Env, ast *cel.Ast) (any, error) {
	estimated, err := env.EstimateCost(ast, &library.CostEstimator{SizeEstimator: sizes(in.Sizes)})
	if err != nil {
		return nil, err
	}
	return map[string]uint64{"min": estimated.Min, "max": estimated.Max}, nil
}
