// Package selector reads Kubernetes' label selectors, as kubectl takes them with -l, and matches
// labels with them.
//
//	app=cart,tier in (web, edge),!canary
//
// A selector is requirements that are separated by commas and must all hold:
//
//	key            the label is there
//	!key           the label is not there
//	key=value      it has this value; == is the same
//	key!=value     it has another value, or is not there
//	key in (a,b)   it has one of these values
//	key notin (a)  it has none of them, or is not there
//
// Keys and values may be any text without blanks and the signs above: labels of containers keep to
// fewer rules than those of Kubernetes. Comparisons by size (> and <) are not taken.
package selector

import (
	"fmt"
	"slices"
	"strings"
)

// Selector is a condition on labels. The zero value matches all.
type Selector struct{ requirements []requirement }

// requirement is a condition on one label. Without values it is about the label being there.
type requirement struct {
	key    string
	values []string
	not    bool
}

// Matches reports whether all requirements hold.
func (s Selector) Matches(labels map[string]string) bool {
	for i := range s.requirements {
		r := &s.requirements[i]
		value, ok := labels[r.key]
		if holds := ok && (r.values == nil || slices.Contains(r.values, value)); holds == r.not {
			return false
		}
	}
	return true
}

// Empty reports whether the selector has no requirement.
func (s Selector) Empty() bool { return len(s.requirements) == 0 }

// Parse reads a selector. Its error says what is wrong where.
func Parse(text string) (Selector, error) {
	p := parser{text: text}
	var s Selector
	for p.next(); p.token != end; {
		r, err := p.requirement()
		if err != nil {
			return Selector{}, err
		}
		s.requirements = append(s.requirements, r)
		switch p.token {
		case end:
		case ",":
			if p.next(); p.token == end {
				return Selector{}, p.wrong("a label after the comma")
			}
		default:
			return Selector{}, p.wrong(`"," or the end`)
		}
	}
	return s, nil
}

// parser takes a selector apart, token by token. A token is one of the signs, or a word.
type parser struct {
	text  string
	at    int // where the token ends
	token string
	word  bool // whether the token is a word
}

const (
	end    = ""
	blanks = " \t\r\n"
	signs  = "=!(),<>"
)

// next reads the next token.
func (p *parser) next() {
	rest := strings.TrimLeft(p.text[p.at:], blanks)
	p.at = len(p.text) - len(rest)
	p.word = false
	for _, sign := range [...]string{"==", "!=", "=", "!", "(", ")", ",", "<", ">"} {
		if strings.HasPrefix(rest, sign) {
			p.token = sign
			p.at += len(sign)
			return
		}
	}
	length := strings.IndexAny(rest, signs+blanks)
	if length < 0 {
		length = len(rest)
	}
	p.token, p.word = rest[:length], length > 0
	p.at += length
}

func (p *parser) requirement() (r requirement, err error) {
	if p.token == "!" {
		r.not = true
		p.next()
	}
	if !p.word {
		return r, p.wrong("a label")
	}
	r.key = p.token
	p.next()
	if r.not || p.token == end || p.token == "," {
		return r, nil
	}
	operator := p.token
	p.next()
	switch operator {
	case "=", "==":
		r.values = []string{p.value()}
	case "!=":
		r.not, r.values = true, []string{p.value()}
	case "in":
		r.values, err = p.list()
	case "notin":
		r.not = true
		r.values, err = p.list()
	default:
		return r, fmt.Errorf("label selector %q: after %q: want =, ==, !=, in or notin, have %q",
			p.text, r.key, operator)
	}
	return r, err
}

// value reads the value behind a sign, which may be empty.
func (p *parser) value() (value string) {
	if p.word {
		value = p.token
		p.next()
	}
	return value
}

// list reads values in parentheses. They may be empty: nothing is one empty value.
func (p *parser) list() (values []string, err error) {
	if p.token != "(" {
		return nil, p.wrong(`"("`)
	}
	p.next()
	for {
		values = append(values, p.value())
		switch p.token {
		case ",":
			p.next()
		case ")":
			p.next()
			return values, nil
		default:
			return nil, p.wrong(`"," or ")"`)
		}
	}
}

// wrong says what should be in the place of the token.
func (p *parser) wrong(want string) error {
	have := "the end"
	if p.token != end {
		have = fmt.Sprintf("%q", p.token)
	}
	return fmt.Errorf("label selector %q: want %s, have %s", p.text, want, have)
}
