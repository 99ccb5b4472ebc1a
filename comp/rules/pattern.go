package rules

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/gobwas/glob"
)

// pattern matches a text. Without a "*" it is that text; with one it is a glob of the
// whole text, in which "?", "[…]" and "{a,b}" have a meaning as well, as in the options
// that map keys to tags; between slashes it is a regular expression that may match anywhere.
type pattern struct {
	text string
	glob *glob.Pattern
	re   *regexp.Regexp
}

// trimPattern removes the blanks around a pattern, and those around its expression.
func trimPattern(text string) string {
	text = strings.TrimSpace(text)
	if isExpression(text) {
		return "/" + strings.TrimSpace(text[1:len(text)-1]) + "/"
	}
	return text
}

// isExpression reports whether a pattern is a regular expression.
func isExpression(text string) bool {
	return len(text) >= 2 && text[0] == '/' && text[len(text)-1] == '/'
}

// compilePattern compiles a pattern of a condition.
func compilePattern(text string) (pattern, error) {
	if isExpression(text) {
		expr := text[1 : len(text)-1]
		if strings.TrimSpace(expr) == "" {
			return pattern{}, fmt.Errorf("pattern %q: %w", text, errEmptyExpression("/.*/"))
		}
		re, err := regexp.Compile(expr)
		if err != nil {
			return pattern{}, fmt.Errorf("pattern %q: %w", text, err)
		}
		if expr == "^$" {
			return pattern{}, nil // only what is not there is empty
		}
		return pattern{text: text, re: re}, nil
	}
	return compileGlob(text)
}

// compileGlob compiles a name or a glob of names.
func compileGlob(text string) (pattern, error) {
	if !strings.Contains(text, "*") {
		return pattern{text: text}, nil
	}
	g, err := glob.Compile(text)
	if err != nil {
		return pattern{}, fmt.Errorf("glob %q: %w", text, err)
	}
	return pattern{text: text, glob: g}, nil
}

// exact reports whether the pattern matches one text only.
func (p *pattern) exact() bool { return p.glob == nil && p.re == nil }

func (p *pattern) match(value string) bool {
	switch {
	case p.re != nil:
		return p.re.MatchString(value)
	case p.glob != nil:
		return p.glob.Match(value)
	}
	return p.text == value
}

func matchAny(patterns []pattern, value string) bool {
	for i := range patterns {
		if patterns[i].match(value) {
			return true
		}
	}
	return false
}

// matchBeyond is matchAny for a value that begins with what everybody leaves out: a match must
// reach beyond that, or "docker" would match every image of docker.io.
func matchBeyond(patterns []pattern, value string, begin int) bool {
	for i := range patterns {
		if p := &patterns[i]; p.re == nil {
			if p.match(value) {
				return true
			}
			continue
		}
		for _, at := range patterns[i].re.FindAllStringIndex(value, -1) {
			if at[1] > begin {
				return true
			}
		}
	}
	return false
}

// matchMissing reports whether the patterns match a value that is not there.
func matchMissing(patterns []pattern) bool {
	for i := range patterns {
		if patterns[i].exact() && patterns[i].text == "" {
			return true
		}
	}
	return false
}
