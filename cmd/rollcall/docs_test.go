package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/rollcall-dev/rollcall/comp/config"
)

const docs = "../../docs/"

// document compares a page of the documentation with what it should be, or writes it.
func document(t *testing.T, name, want string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(docs+name, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	have, err := os.ReadFile(docs + name)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != want {
		t.Errorf("docs/%s is out of date; go test ./cmd/rollcall -run TestDocs -update writes it anew", name)
	}
}

// Every example in docs/cli.md is what the program prints.
func TestDocsCommandLine(t *testing.T) {
	text, err := os.ReadFile(docs + "cli.md")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	blocks := regexp.MustCompile("(?s)```console\n\\$ rollcall ([^\n]*)\n.*?```\n")
	document(t, "cli.md", blocks.ReplaceAllStringFunc(string(text), func(block string) string {
		n++
		line := blocks.FindStringSubmatch(block)[1]
		cmd := command(t, nil, strings.Fields(line)...)
		cmd.Dir = "testdata"
		out, _ := cmd.CombinedOutput() // an exit code is part of some examples
		lines := strings.Split(string(out), "\n")
		for i, text := range lines {
			if runes := []rune(text); len(runes) > 120 {
				lines[i] = string(runes[:119]) + "…"
			}
		}
		return "```console\n$ rollcall " + line + "\n" + strings.Join(lines, "\n") + "```\n"
	}))
	if n < 10 {
		t.Errorf("found %d examples in docs/cli.md", n)
	}
}

// docs/configuration.md lists every option.
func TestDocsConfiguration(t *testing.T) {
	document(t, "configuration.md", `# Configuration

<!-- Made by go test ./cmd/rollcall -run TestDocs -update from comp/config; edit the options there. -->

What an option is, is said by the first of these that says something:

1. flags: `+"`--set name=value`"+` for any option, `+"`--docker-host`"+` for `+"`docker.host`"+`;
2. the environment: `+"`ROLLCALL_`"+` and the upper-case name with `+"`_`"+` for `+"`.`"+` (`+"`ROLLCALL_DOCKER_HOST`"+`). Options that a Datadog agent has, too, are
   also read from `+"`DD_`"+` and the name (`+"`DD_CONTAINER_LABELS_AS_TAGS`"+`). Maps are JSON objects; lists are JSON arrays, or separated
   by commas or blanks;
3. a YAML file: `+"`--config`"+`, else the one that `+"`ROLLCALL_CONFIG`"+` names, else `+"`"+config.DefaultFile+"`"+` if it is there;
4. the defaults.

An option is replaced as a whole. An unknown option, a value of the wrong type and a glob that does not compile are errors that name the
file and line, the variable or the flag. Durations are written `+"`30s`, `5m`, or in seconds"+`.

`+config.Markdown()+`
## A file to start from

`+"`rollcall config --example`"+` prints it:

`+"```yaml\n"+config.Example()+"```\n")
}
