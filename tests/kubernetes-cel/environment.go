package main

import (
	"encoding/json"
	"fmt"
	"sort"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/ext"

	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/version"
	plugincel "k8s.io/apiserver/pkg/admission/plugin/cel"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/cel/common"
	"k8s.io/apiserver/pkg/cel/environment"
	"k8s.io/apiserver/pkg/cel/library"
	"k8s.io/apiserver/pkg/cel/mutation"
)

// always is the version of options that every environment has.
var always = version.MajorMinor(1, 0)

// environments holds those made so far: one takes milliseconds.
var environments = map[string]*cel.Env{}

// variables decodes the variables of a row as the API server decodes unstructured objects: numbers
// without a fraction are integers.
func (in *row) variables() (map[string]any, []string, error) {
	vars := map[string]any{}
	if len(in.Vars) > 0 && string(in.Vars) != "null" {
		raw := map[string]json.RawMessage{}
		if err := json.Unmarshal(in.Vars, &raw); err != nil {
			return nil, nil, err
		}
		for name, text := range raw {
			var value any
			if err := utiljson.Unmarshal(text, &value); err != nil {
				return nil, nil, err
			}
			vars[name] = value
		}
	}
	names := make([]string, 0, len(vars))
	for name := range vars {
		names = append(names, name)
	}
	sort.Strings(names)
	return vars, names, nil
}

// environment returns the environment a row asks for.
func (in *row) environment(names []string) (*cel.Env, error) {
	key := strings.Join(append([]string{in.Env, in.EnvMode, in.Version}, names...), " ")
	if in.Extensions {
		key = "extended " + key
	}
	if known, ok := environments[key]; ok {
		return known, nil
	}
	compatibility := environment.DefaultCompatibilityVersion()
	if in.Version != "" {
		wanted, err := version.ParseGeneric(in.Version)
		if err != nil {
			return nil, err
		}
		compatibility = wanted
	}
	options, err := in.declarations(names)
	if err != nil {
		return nil, err
	}
	set, err := environment.MustBaseEnvSet(compatibility).Extend(options, environment.StrictCostOpt)
	if err != nil {
		return nil, err
	}
	if in.Env == "patch" {
		set, err = set.Extend(environment.VersionedOptions{
			IntroducedVersion: always,
			EnvOptions: []cel.EnvOption{
				common.ResolverEnvOption(&mutation.DynamicTypeResolver{}),
				environment.UnversionedLib(library.JSONPatch),
			},
		})
		if err != nil {
			return nil, err
		}
	}
	mode := environment.StoredExpressions
	if in.EnvMode == "new" {
		mode = environment.NewExpressions
	}
	env, err := set.Env(mode)
	if err != nil {
		return nil, err
	}
	if len(environments) > 2000 {
		clear(environments)
	}
	environments[key] = env
	return env, nil
}

// declarations are those of admission plugin/cel/compile.go, createEnvForOpts, with every option on.
func (in *row) declarations(names []string) (environment.VersionedOptions, error) {
	options := environment.VersionedOptions{IntroducedVersion: always}
	if in.Extensions {
		options.EnvOptions = append(options.EnvOptions, ext.Math(), ext.Encoders())
	}
	declare := func(name string, declared *cel.Type) {
		options.EnvOptions = append(options.EnvOptions, cel.Variable(name, declared))
	}
	switch in.Env {
	case "", "dyn":
		for _, name := range names {
			declare(name, cel.DynType)
		}
	case "admission", "patch":
		request, namespace := plugincel.BuildRequestType(), plugincel.BuildNamespaceType()
		options.DeclTypes = append(options.DeclTypes, namespace, request)
		declare(plugincel.ObjectVarName, cel.DynType)
		declare(plugincel.OldObjectVarName, cel.DynType)
		declare(plugincel.ParamsVarName, cel.DynType)
		declare(plugincel.NamespaceVarName, namespace.CelType())
		declare(plugincel.RequestVarName, request.CelType())
		declare(plugincel.AuthorizerVarName, library.AuthorizerType)
		declare(plugincel.RequestResourceAuthorizerVarName, library.ResourceCheckType)
	default:
		return options, fmt.Errorf("unknown environment %q", in.Env)
	}
	return options, nil
}

// program makes a program with the options of admission plugin/cel/compile.go; the cost limits and
// the tracking of costs come with the environment.
func program(env *cel.Env, ast *cel.Ast) (cel.Program, error) {
	return env.Program(ast, cel.InterruptCheckFrequency(celconfig.CheckFrequency))
}

// activation answers names as admission plugin/cel/activation.go does: from fields, not from a map.
type activation struct {
	object, oldObject, params, request, namespaceObject any
}

func (a *activation) ResolveName(name string) (any, bool) {
	switch name {
	case plugincel.ObjectVarName:
		return a.object, true
	case plugincel.OldObjectVarName:
		return a.oldObject, true
	case plugincel.ParamsVarName:
		return a.params, true
	case plugincel.RequestVarName:
		return a.request, true
	case plugincel.NamespaceVarName:
		return a.namespaceObject, true
	}
	return nil, false
}

func (a *activation) Parent() cel.Activation { return nil }
