package detail

import (
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
)

type object = map[string]any

func TestChanges(t *testing.T) {
	for name, test := range map[string]struct {
		state, oldInputs, newInputs object
		path                        string
		kind                        pulumirpc.PropertyDiff_Kind
	}{
		"added": {object{}, object{}, object{"a": "x"}, "a", pulumirpc.PropertyDiff_ADD},
		"updated": {
			object{"a": object{"b.c": 1.0}}, nil, object{"a": object{"b.c": 2.0}},
			`a["b.c"]`, pulumirpc.PropertyDiff_UPDATE,
		},
		"deleted": {object{"a": "x"}, object{"a": "x"}, object{}, "a", pulumirpc.PropertyDiff_DELETE},
		"deleted from a list": {
			object{"a": []any{"x", "y"}}, nil, object{"a": []any{"x"}}, "a[1]", pulumirpc.PropertyDiff_DELETE,
		},
		"added inside a list": {
			object{"a": []any{object{}}}, nil, object{"a": []any{object{"b": true}}},
			"a[0].b", pulumirpc.PropertyDiff_ADD,
		},
		"unknown": {
			object{"a": "x"}, nil, object{"a": resource.Computed{}}, "a", pulumirpc.PropertyDiff_UPDATE,
		},
		"another type": {
			object{"a": "x"}, nil, object{"a": object{"b": "x"}}, "a", pulumirpc.PropertyDiff_UPDATE,
		},
		"fixed field": {
			object{"fixed": "x"}, nil, object{"fixed": "y"}, "fixed", pulumirpc.PropertyDiff_UPDATE_REPLACE,
		},
		"below a fixed field": {
			object{"fixed": object{}}, nil, object{"fixed": object{"b": "y"}},
			"fixed.b", pulumirpc.PropertyDiff_ADD_REPLACE,
		},
		"above a fixed field": {
			object{}, nil, object{"list": []any{object{"fixed": "y"}}}, "list", pulumirpc.PropertyDiff_ADD_REPLACE,
		},
		"above a fixed field that is not set": {
			object{}, nil, object{"list": []any{object{"free": "y"}}}, "list", pulumirpc.PropertyDiff_ADD,
		},
		"fixed field of an element": {
			object{"list": []any{object{"fixed": "x"}}}, nil, object{"list": []any{object{"fixed": "y"}}},
			"list[0].fixed", pulumirpc.PropertyDiff_UPDATE_REPLACE,
		},
	} {
		changes := Changes(test.state, test.oldInputs, test.newInputs, []string{".fixed", ".list[*].fixed"})
		if len(changes) != 1 || changes[test.path] == nil || changes[test.path].GetKind() != test.kind {
			t.Errorf("%s: %v", name, changes)
		}
	}
}

func TestNoChanges(t *testing.T) {
	for name, test := range map[string]struct{ state, oldInputs, newInputs object }{
		"integers and floats":            {object{"a": int64(80)}, nil, object{"a": 80.0}},
		"filled in by the cluster":       {object{"a": "x", "b": "y"}, object{"a": "x"}, object{"a": "x"}},
		"filled in inside a list":        {object{"a": []any{object{"b": "y"}}}, object{"a": []any{object{}}}, object{"a": []any{object{}}}},
		"deleted what was not there now": {object{}, object{"a": "x"}, object{}},
		"equal trees":                    {object{"a": []any{object{"b": nil}}}, nil, object{"a": []any{object{"b": nil}}}},
	} {
		if changes := Changes(test.state, test.oldInputs, test.newInputs, nil); len(changes) != 0 {
			t.Errorf("%s: %v", name, changes)
		}
	}
}
