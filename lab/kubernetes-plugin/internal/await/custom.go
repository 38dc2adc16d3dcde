package await

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/util/jsonpath"
)

// custom reads the annotation pulumi.com/waitFor: one expression or a JSON list of them, each
// "condition=Type", "condition=Type=Status" or "jsonpath={path}=value"; all have to hold.
func custom(annotation string) (Condition, error) {
	var expressions []string
	if json.Unmarshal([]byte(annotation), &expressions) != nil {
		expressions = []string{annotation}
	}
	if len(expressions) == 0 {
		return nil, fmt.Errorf("at least one condition must be specified")
	}
	var conditions []Condition
	for _, expression := range expressions {
		kind, rest, _ := strings.Cut(expression, "=")
		switch kind {
		case "condition":
			conditions = append(conditions, statusCondition(rest))
		case "jsonpath":
			condition, err := pathCondition(rest)
			if err != nil {
				return nil, err
			}
			conditions = append(conditions, condition)
		default:
			return nil, fmt.Errorf(`expected a "jsonpath=" or "condition=" prefix, got %q`, expression)
		}
	}
	return func(live *unstructured.Unstructured) (string, error) {
		for _, condition := range conditions {
			if reason, err := condition(live); reason != "" || err != nil {
				return reason, err
			}
		}
		return "", nil
	}, nil
}

func statusCondition(expression string) Condition {
	name, status, given := strings.Cut(expression, "=")
	if !given {
		status = "True"
	}
	return func(live *unstructured.Unstructured) (string, error) {
		conditions, _, _ := unstructured.NestedSlice(live.Object, "status", "conditions")
		for _, entry := range conditions {
			condition, _ := entry.(map[string]any)
			kind, _ := condition["type"].(string)
			value, _ := condition["status"].(string)
			if strings.EqualFold(kind, name) && strings.EqualFold(value, status) {
				return "", nil
			}
		}
		return fmt.Sprintf("Waiting for condition %s=%s", name, status), nil
	}
}

func pathCondition(expression string) (Condition, error) {
	end := strings.LastIndex(expression, "}")
	if !strings.HasPrefix(expression, "{") || end < 0 {
		return nil, fmt.Errorf("jsonpath expression %q must be of the form {path} or {path}=value", expression)
	}
	path := jsonpath.New("waitFor").AllowMissingKeys(true)
	if err := path.Parse(expression[:end+1]); err != nil {
		return nil, err
	}
	wanted, given := strings.CutPrefix(expression[end+1:], "=")
	return func(live *unstructured.Unstructured) (string, error) {
		var found bytes.Buffer
		if err := path.Execute(&found, live.Object); err != nil {
			return "", err
		}
		if (given && found.String() == wanted) || (!given && found.Len() > 0) {
			return "", nil
		}
		return fmt.Sprintf("Waiting for %s", expression), nil
	}, nil
}
