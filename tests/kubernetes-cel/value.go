package main

import (
	"encoding/base64"
	"fmt"
	"math"
	"reflect"
	"sort"
	"strconv"
	"time"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"

	"k8s.io/apiserver/pkg/cel/mutation"
	"k8s.io/apiserver/pkg/cel/mutation/dynamic"
)

// tag wraps a value in the name of its type.
func tag(name string, value any) map[string]any { return map[string]any{name: value} }

// typed shows a value so that nothing of its type is lost: numbers are strings, maps are lists of
// pairs in order of key.
func typed(value ref.Val) any {
	switch it := value.(type) {
	case types.Null:
		return tag("null", nil)
	case types.Bool:
		return tag("bool", bool(it))
	case types.Int:
		return tag("int", strconv.FormatInt(int64(it), 10))
	case types.Uint:
		return tag("uint", strconv.FormatUint(uint64(it), 10))
	case types.Double:
		return tag("double", strconv.FormatFloat(float64(it), 'g', -1, 64))
	case types.String:
		return tag("string", string(it))
	case types.Bytes:
		return tag("bytes", base64.StdEncoding.EncodeToString(it))
	case types.Timestamp:
		return tag("timestamp", it.Time.UTC().Format(time.RFC3339Nano))
	case types.Duration:
		return tag("duration", strconv.FormatInt(int64(it.Duration), 10))
	case *types.Optional:
		if !it.HasValue() {
			return tag("optional", nil)
		}
		return tag("optional", typed(it.GetValue()))
	case *types.Type:
		return tag("type", it.TypeName())
	case traits.Mapper:
		return tag("map", pairs(it))
	case traits.Lister:
		items := []any{}
		for at := it.Iterator(); at.HasNext() == types.True; {
			items = append(items, typed(at.Next()))
		}
		return tag("list", items)
	}
	return tag("object", map[string]any{"type": value.Type().TypeName(), "value": plain(value)})
}

func pairs(value traits.Mapper) []any {
	type pair struct {
		key  string
		both any
	}
	entries := []pair{}
	for at := value.Iterator(); at.HasNext() == types.True; {
		key := at.Next()
		item, _ := value.Find(key)
		entries = append(entries, pair{fmt.Sprint(key.Value()), []any{typed(key), typed(item)}})
	}
	sort.SliceStable(entries, func(a, b int) bool { return entries[a].key < entries[b].key })
	out := make([]any, len(entries))
	for at, entry := range entries {
		out[at] = entry.both
	}
	return out
}

// plain shows a value as ordinary JSON; its type may be lost.
func plain(value ref.Val) any {
	switch it := value.(type) {
	case types.Null:
		return nil
	case types.Double:
		if number := float64(it); math.IsNaN(number) || math.IsInf(number, 0) {
			return fmt.Sprint(number)
		}
		return float64(it)
	case types.Bytes:
		return base64.StdEncoding.EncodeToString(it)
	case types.Timestamp:
		return it.Time.UTC().Format(time.RFC3339Nano)
	case types.Duration:
		return it.Duration.String()
	case *types.Optional:
		if !it.HasValue() {
			return tag("optional", "none")
		}
		return tag("optional", plain(it.GetValue()))
	case *types.Type:
		return it.TypeName()
	case *types.Err:
		return fmt.Sprintf("error: %v", it)
	case *dynamic.ObjectVal:
		fields, err := it.ConvertToNative(reflect.TypeFor[map[string]any]())
		if err != nil {
			return "not convertible: " + err.Error()
		}
		return fields
	case *mutation.JSONPatchVal:
		patch := map[string]any{"op": it.Op, "path": it.Path}
		if it.From != "" {
			patch["from"] = it.From
		}
		if it.Val != nil {
			patch["value"] = plain(it.Val)
		}
		return patch
	case traits.Mapper:
		out := map[string]any{}
		for at := it.Iterator(); at.HasNext() == types.True; {
			key := at.Next()
			item, _ := it.Find(key)
			out[fmt.Sprint(key.Value())] = plain(item)
		}
		return out
	case traits.Lister:
		out := []any{}
		for at := it.Iterator(); at.HasNext() == types.True; {
			out = append(out, plain(at.Next()))
		}
		return out
	case types.Bool, types.Int, types.Uint, types.String:
		return value.Value()
	}
	return fmt.Sprintf("%v", value.Value())
}
