// Package proclang tells in which language a process is written.
//
// [Detect] is pure and looks at names only: the program the command line
// names, the kernel's name for the process, the file it runs. It knows the
// languages that have a runtime with a name of its own. A compiled program
// needs a look into its file; [GoDetector] does that for Go.
//
// A shell that runs "exec java …" becomes Java later under the same PID: whoever
// keeps the result has to ask again when name or file change.
package proclang

import (
	"slices"
	"strings"
)

// Names of languages. The first six are what tags and library injection know.
const (
	Go     = "go"
	Node   = "node"
	DotNet = "dotnet"
	Python = "python"
	Java   = "java"
	Ruby   = "ruby"

	Bun    = "bun"
	Deno   = "deno"
	PHP    = "php"
	Erlang = "erlang"
)

// Language is a language and, where known, the version of its toolchain or
// runtime ("1.26.1"). The zero value is an unknown language.
type Language struct {
	Name    string
	Version string
}

// Process is what [Detect] looks at. Any field may be empty.
type Process struct {
	Comm string   // name in the kernel, at most 15 bytes: /proc/<pid>/comm
	Exe  string   // target of /proc/<pid>/exe; reading it may need privileges
	Args []string // command line with the program: /proc/<pid>/cmdline
}

// Detect returns the language of a process from its names, the zero Language
// if they do not tell. The first of these that names a runtime decides: the
// program in the command line, the kernel's name, the executable file.
func Detect(p Process) Language {
	if p.Comm == "java" && slices.Contains(p.Args, "org.jruby.Main") {
		return Language{Name: Ruby}
	}
	for _, program := range [...]string{argv0(p.Args), p.Comm, p.Exe} {
		if name := fromProgram(programName(program)); name != "" {
			return Language{Name: name}
		}
	}
	return Language{}
}

// argv0 returns the program of a command line. A process that rewrote its
// title has all of it in one argument.
func argv0(args []string) string {
	if len(args) == 0 {
		return ""
	}
	if len(args) == 1 {
		program, _, _ := strings.Cut(args[0], " ")
		return program
	}
	return args[0]
}

// programName returns the base name of a program in lower case, without
// quotes and without the decoration around names like "-bash" and "(sd-pam)".
func programName(program string) string {
	program = strings.Trim(program, `"'`)
	program = program[strings.LastIndexAny(program, `/\`)+1:]
	program = strings.TrimSuffix(program, " (deleted)") // of an exe link
	if program != "" && !isAlphanumeric(program[0]) {
		program = program[1:]
	}
	if n := len(program); n > 0 && !isAlphanumeric(program[n-1]) {
		program = program[:n-1]
	}
	return strings.TrimSuffix(strings.ToLower(program), ".exe")
}

func fromProgram(name string) string {
	switch name {
	case "py":
		return Python
	case "node", "npm", "nodejs":
		return Node
	case "dotnet":
		return DotNet
	case "ruby", "rubyw":
		return Ruby
	case "bun":
		return Bun
	case "deno":
		return Deno
	case "php", "php-cgi":
		return PHP
	case "beam.smp":
		return Erlang
	case "javac":
		return "" // the compiler, not a program
	}
	switch {
	case strings.HasPrefix(name, "python"):
		return Python
	case strings.HasPrefix(name, "java"):
		return Java
	case strings.HasPrefix(name, "ruby") && isMajorMinor(name[len("ruby"):]):
		return Ruby
	case strings.HasPrefix(name, "php-fpm"), strings.HasPrefix(name, "php") &&
		isMajorMinor(name[len("php"):]):
		return PHP
	}
	return ""
}

// isMajorMinor accepts "3.2".
func isMajorMinor(s string) bool {
	major, minor, ok := strings.Cut(s, ".")
	return ok && isNumber(major) && isNumber(minor)
}

func isNumber(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// isAlphanumeric takes every byte of a multi-byte character for a letter:
// only ASCII decorates names.
func isAlphanumeric(b byte) bool {
	return '0' <= b && b <= '9' || 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || b >= 0x80
}
