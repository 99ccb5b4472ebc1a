package workloadmeta

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// appendText appends a JSON string. A byte that is not UTF-8 becomes the escape of a lone
// low surrogate, which no valid text has, so that [unquote] returns the same bytes.
func appendText(buf []byte, s string) []byte {
	buf = append(buf, '"')
	for i := 0; i < len(s); {
		if c := s[i]; c < utf8.RuneSelf {
			switch {
			case c == '"' || c == '\\':
				buf = append(buf, '\\', c)
			case c == '\n':
				buf = append(buf, `\n`...)
			case c == '\r':
				buf = append(buf, `\r`...)
			case c == '\t':
				buf = append(buf, `\t`...)
			case c < ' ':
				buf = fmt.Appendf(buf, `\u%04x`, c)
			default:
				buf = append(buf, c)
			}
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			buf = fmt.Appendf(buf, `\udc%02x`, s[i])
		case r == '\u2028' || r == '\u2029': // line breaks in JavaScript
			buf = fmt.Appendf(buf, `\u%04x`, r)
		default:
			buf = append(buf, s[i:i+size]...)
		}
		i += size
	}
	return append(buf, '"')
}

// unquote returns the text of a valid JSON string.
func unquote(raw []byte) string {
	raw = raw[1 : len(raw)-1]
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw)
	}
	var b strings.Builder
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			b.WriteByte(raw[i])
			continue
		}
		i++
		switch raw[i] {
		case 'b':
			b.WriteByte('\b')
		case 'f':
			b.WriteByte('\f')
		case 'n':
			b.WriteByte('\n')
		case 'r':
			b.WriteByte('\r')
		case 't':
			b.WriteByte('\t')
		case 'u':
			r := unit(raw[i:])
			i += 4
			if pair := utf16.DecodeRune(r, unit(skipOne(raw, i))); pair != utf8.RuneError {
				r = pair
				i += 6
			}
			if r >= 0xdc80 && r <= 0xdcff {
				b.WriteByte(byte(r))
				continue
			}
			b.WriteRune(r) // another lone surrogate becomes U+FFFD
		default:
			b.WriteByte(raw[i])
		}
	}
	return b.String()
}

// skipOne returns what follows the backslash after position i, or nothing.
func skipOne(raw []byte, i int) []byte {
	if i+2 < len(raw) && raw[i+1] == '\\' {
		return raw[i+2:]
	}
	return nil
}

// unit returns the number of an escape "uXXXX", or U+FFFD.
func unit(raw []byte) rune {
	if len(raw) < 5 || raw[0] != 'u' {
		return utf8.RuneError
	}
	n, err := strconv.ParseUint(string(raw[1:5]), 16, 16)
	if err != nil {
		return utf8.RuneError
	}
	return rune(n)
}

// compact returns a JSON document without blanks around its parts, false if it is none.
func compact(document []byte) ([]byte, bool) {
	var b bytes.Buffer
	if err := json.Compact(&b, document); err != nil || b.Len() == 0 {
		return nil, false
	}
	return b.Bytes(), true
}

func jsonType(raw []byte) string {
	switch raw[0] {
	case '{':
		return "object"
	case '[':
		return "array"
	case '"':
		return "string"
	case 't', 'f':
		return "bool"
	case 'n':
		return "null"
	}
	return "number"
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

func trimJSON(raw []byte) []byte { return bytes.Trim(raw, " \t\r\n") }

// members yields the members of a valid JSON object.
func members(raw []byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for i := skipBlanks(raw, 1); raw[i] != '}'; i = skipBlanks(raw, i) {
			end := valueEnd(raw, i)
			name := unquote(raw[i:end])
			i = skipBlanks(raw, skipBlanks(raw, end)+1) // the colon
			end = valueEnd(raw, i)
			if !yield(name, raw[i:end]) {
				return
			}
			if i = skipBlanks(raw, end); raw[i] == ',' {
				i++
			}
		}
	}
}

// elements yields the elements of a valid JSON array.
func elements(raw []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for i := skipBlanks(raw, 1); raw[i] != ']'; i = skipBlanks(raw, i) {
			end := valueEnd(raw, i)
			if !yield(raw[i:end]) {
				return
			}
			if i = skipBlanks(raw, end); raw[i] == ',' {
				i++
			}
		}
	}
}

func skipBlanks(raw []byte, i int) int {
	for isBlank(raw[i]) {
		i++
	}
	return i
}

// valueEnd returns where the value that begins at i ends.
func valueEnd(raw []byte, i int) int {
	depth := 0
	for ; i < len(raw); i++ {
		switch c := raw[i]; c {
		case '"':
			for i++; raw[i] != '"'; i++ {
				if raw[i] == '\\' {
					i++
				}
			}
			if depth == 0 {
				return i + 1
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i // of what is around it
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case ',', ' ', '\t', '\n', '\r':
			if depth == 0 {
				return i
			}
		}
	}
	return i
}
