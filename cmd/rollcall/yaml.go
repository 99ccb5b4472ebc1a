package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// toYAML writes JSON as YAML. Names keep their order.
func toYAML(data []byte) ([]byte, error) { return writeYAML(data, 0) }

// toYAMLLine writes JSON as YAML on one line. Of an object, the braces are left out.
func toYAMLLine(data []byte) (string, error) {
	text, err := writeYAML(data, yaml.FlowStyle)
	line := strings.TrimSuffix(string(text), "\n")
	return strings.TrimSuffix(strings.TrimPrefix(line, "{"), "}"), err
}

func writeYAML(data []byte, style yaml.Style) ([]byte, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	doc, err := yamlNode(dec)
	if err != nil {
		return nil, fmt.Errorf("write as YAML: %w", err)
	}
	doc.Style |= style
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(doc); err != nil {
		return nil, fmt.Errorf("write as YAML: %w", err)
	}
	return b.Bytes(), nil
}

// yamlNode returns the next value of the decoder.
func yamlNode(dec *json.Decoder) (*yaml.Node, error) {
	token, err := dec.Token()
	if err != nil {
		return nil, err
	}
	var n *yaml.Node
	switch v := token.(type) {
	case string:
		return yamlText(v)
	case json.Number:
		n = &yaml.Node{Kind: yaml.ScalarNode, Value: v.String()}
		return n, nil
	case bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Value: fmt.Sprint(v)}, nil
	case nil:
		return &yaml.Node{Kind: yaml.ScalarNode, Value: "null"}, nil
	case json.Delim:
		n = &yaml.Node{Kind: yaml.MappingNode}
		if v == '[' {
			n.Kind = yaml.SequenceNode
		}
	}
	for dec.More() { // of an object, names and values in turn
		child, err := yamlNode(dec)
		if err != nil {
			return nil, err
		}
		n.Content = append(n.Content, child)
	}
	if len(n.Content) == 0 {
		n.Style = yaml.FlowStyle
	}
	_, err = dec.Token() // the closing bracket
	return n, err
}

// yamlText returns a text, quoted if any reader could take it for something else: those of YAML
// 1.1, too, to which yes, 1:30 and = are no texts.
func yamlText(text string) (*yaml.Node, error) {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text}
	switch {
	case text == "=" || text == "<<" ||
		strings.ContainsFunc(text, func(r rune) bool {
			return r != '\n' && isControl(r) || r == 0x85 || r == 0x2028 || r == 0x2029 ||
				r == 0xfeff || r >= 0xfffe && r <= 0xffff
		}):
		n.Style = yaml.DoubleQuotedStyle
		return n, nil
	}
	// The library knows what has to be quoted, of texts alone and not of nodes.
	written, err := yaml.Marshal(text)
	if err != nil {
		return nil, err
	}
	switch written[0] {
	case '"':
		n.Style = yaml.DoubleQuotedStyle
	case '\'':
		n.Style = yaml.SingleQuotedStyle
	case '|':
		n.Style = yaml.LiteralStyle
	}
	return n, nil
}
