package scrub

import (
	"strconv"
	"strings"
)

// History returns an image layer's "created by" without secrets: builders write the
// values of environment variables and build arguments into it, of which those are masked
// whose names keep does not accept. The rest is scrubbed like a command line.
//
// Builders do not quote these values, so that one with blanks cannot be told from what
// follows: each is taken to end where the next "NAME=" begins. In doubt more is hidden.
func History(createdBy string, keep func(name string) bool) string {
	text := createdBy
	prefix := ""
	if i := strings.Index(text, "#(nop)"); i >= 0 { // classic builder: "/bin/sh -c #(nop)  ENV a=b"
		end := i + len("#(nop)")
		end += len(text[end:]) - len(strings.TrimLeft(text[end:], " "))
		prefix, text = text[:end], text[end:]
	}
	if run, ok := strings.CutPrefix(text, "RUN "); ok && strings.HasPrefix(run, "|") {
		prefix, text = prefix+"RUN ", run
	}
	switch instruction, rest, more := strings.Cut(text, " "); {
	case more && (strings.EqualFold(instruction, "ENV") || strings.EqualFold(instruction, "ARG")):
		return prefix + instruction + " " + assignments(rest, keep)
	// "|<number of arguments> a=b c=d /bin/sh -c <command>"
	case strings.HasPrefix(instruction, "|"):
		count, err := strconv.Atoi(instruction[1:])
		if err != nil {
			break
		}
		values, command := splitBuildArgs(rest, count)
		return prefix + instruction + " " + assignments(values, keep) + Args([]string{command})[0]
	}
	return prefix + Args([]string{text})[0]
}

// splitBuildArgs returns the build arguments and the command after them, which begins
// with the path of a shell, blank included.
func splitBuildArgs(text string, count int) (values, command string) {
	for i := 0; i < len(text); {
		end := len(text)
		if n := strings.IndexByte(text[i:], ' '); n >= 0 {
			end = i + n
		}
		switch token := text[i:end]; {
		case assigns(token):
			count--
		case count <= 0 && strings.HasPrefix(token, "/"):
			return text[:max(i-1, 0)], text[max(i-1, 0):]
		}
		i = end + 1
	}
	return text, ""
}

// assignments masks the values of "a=b c=d", and of "a b", the older form with one.
func assignments(text string, keep func(string) bool) string {
	var b strings.Builder
	masking := false
	for i, token := range strings.Split(text, " ") {
		name, _, ok := strings.Cut(token, "=")
		switch {
		case masking && !strings.Contains(strings.TrimRight(token, "="), "="):
			continue // the rest of a value with blanks, perhaps padded base64
		case ok && assigns(token):
			masking = !keep(name)
			if masking {
				token = name + "=" + Mask
			}
		case i == 0: // "ENV a b", "ARG a"
			masking = !keep(token)
			if _, _, more := strings.Cut(text, " "); masking && more {
				return token + " " + Mask
			}
		case masking:
			continue
		}
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(token)
	}
	return b.String()
}

// assigns reports whether a word begins with "NAME=".
func assigns(word string) bool {
	name, _, ok := strings.Cut(word, "=")
	if !ok || name == "" || name[0] >= '0' && name[0] <= '9' {
		return false
	}
	return !strings.ContainsFunc(name, func(r rune) bool {
		return r != '_' && r != '.' && r != '-' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') &&
			(r < 'a' || r > 'z')
	})
}
