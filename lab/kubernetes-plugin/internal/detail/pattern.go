package detail

import "strings"

type anyElement struct{}

// parsePattern splits ".spec.containers[*].image" into its elements.
func parsePattern(pattern string) []any {
	var elements []any
	for _, name := range strings.Split(strings.TrimPrefix(pattern, "."), ".") {
		bare, isArray := strings.CutSuffix(name, "[*]")
		elements = append(elements, bare)
		if isArray {
			elements = append(elements, anyElement{})
		}
	}
	return elements
}

// touches reports whether a change of value at path changes what the pattern names: something at or
// below it, or an ancestor whose value holds it.
func touches(path []any, value any, pattern []any) bool {
	for index, element := range path {
		if index >= len(pattern) {
			return true
		}
		switch want := pattern[index].(type) {
		case anyElement:
			if _, isIndex := element.(int); !isIndex {
				return false
			}
		default:
			if want != element {
				return false
			}
		}
	}
	return holds(value, pattern[min(len(path), len(pattern)):])
}

func holds(value any, pattern []any) bool {
	if len(pattern) == 0 {
		return true
	}
	switch want := pattern[0].(type) {
	case anyElement:
		elements, _ := value.([]any)
		for _, element := range elements {
			if holds(element, pattern[1:]) {
				return true
			}
		}
	case string:
		if object, ok := value.(map[string]any); ok {
			if nested, has := object[want]; has {
				return holds(nested, pattern[1:])
			}
		}
	}
	return false
}
