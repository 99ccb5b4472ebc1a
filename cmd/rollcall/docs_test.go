package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/rollcall-dev/rollcall/comp/catalog"
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
		t.Errorf(
			"docs/%s is out of date; go test ./cmd/rollcall -run TestDocs -update writes it anew",
			name)
	}
}

// Every example in docs/cli.md is what the program prints.
func TestDocsCommandLine(t *testing.T) {
	examples(t, "cli.md", 12)
	text, err := os.ReadFile(docs + "cli.md")
	if err != nil {
		t.Fatal(err)
	}
	fence := "``" + "`"
	for _, block := range regexp.MustCompile("(?ms)^"+fence+"(\\w*)\n(.*?)^"+
		fence).FindAllStringSubmatch(
		string(text), -1) {
		if block[1] != "console" && strings.Contains(block[2], "$ rollcall") {
			t.Errorf("an example that no test runs:\n%s", block[2])
		}
	}
}

// The same in docs/rules.md, and the files with rules that it shows are those that are used.
func TestDocsRules(t *testing.T) {
	examples(t, "rules.md", 4)
	text, err := os.ReadFile(docs + "rules.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"rules.yaml", "drop.yaml", "filters.yaml"} {
		file, err := os.ReadFile("testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), "```yaml\n"+string(file)+"```\n") {
			t.Errorf("docs/rules.md does not show testdata/%s as it is", name)
		}
	}
	// Its other examples of rules can be read.
	for _, block := range regexp.MustCompile("(?s)```yaml\n(- .*?)```\n").FindAllStringSubmatch(
		string(text), -1) {
		if _, err := config.ParseRules("docs/rules.md", []byte(block[1])); err != nil {
			t.Errorf("%v in\n%s", err, block[1])
		}
	}
}

// examples runs the examples of a page of the documentation, at least this many.
func examples(t *testing.T, page string, least int) {
	text, err := os.ReadFile(docs + page)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	blocks := regexp.MustCompile("(?s)```console\n\\$ rollcall ([^\n]*)\n.*?```\n")
	document(t, page, blocks.ReplaceAllStringFunc(string(text), func(block string) string {
		n++
		line := blocks.FindStringSubmatch(block)[1]
		// Those about a machine find none of its daemons, and not its processes.
		env := append(noRuntimes[1:len(noRuntimes):len(noRuntimes)],
			"ROLLCALL_COLLECTORS_PROCESS=off",
			"ROLLCALL_DOCKER_HOST=unix:///run/nowhere/docker.sock")
		if strings.Contains(line, "--from") || strings.Contains(line, "config") {
			env = nil
		}
		cmd := command(t, env, strings.Fields(line)...)
		cmd.Dir = "testdata"
		out, _ := cmd.CombinedOutput() // an exit code is part of some examples
		text := regexp.MustCompile(`again in \d+s`).ReplaceAllString(string(out), "again in 5s")
		lines := strings.Split(text, "\n")
		for i, text := range lines {
			if runes := []rune(text); len(runes) > 120 {
				lines[i] = string(runes[:119]) + "…"
			}
		}
		return "```console\n$ rollcall " + line + "\n" + strings.Join(lines, "\n") + "```\n"
	}))
	if n < least {
		t.Errorf("found %d examples in docs/%s", n, page)
	}
}

// docs/configuration.md lists every option.
func TestDocsConfiguration(t *testing.T) {
	schema := config.NewSchema(catalog.Collectors())
	document(t, "configuration.md", `# Configuration

<!-- Made by go test ./cmd/rollcall -run TestDocs -update from comp/config and the Specs of the collectors; edit the options there. -->

What an option is, is said by the first of these that says something:

1. flags: `+"`--set name=value`"+` for any option, `+"`--docker-host`"+` for `+"`docker.host`"+`;
2. the environment: `+"`ROLLCALL_`"+` and the upper-case name with `+"`_`"+` for `+"`.`"+` (`+"`ROLLCALL_DOCKER_HOST`"+`). Options that a Datadog agent has, too, are
   also read from `+"`DD_`"+` and the name (`+"`DD_CONTAINER_LABELS_AS_TAGS`"+`). Maps are JSON objects; lists are JSON arrays, or separated
   by commas or blanks;
3. a YAML file: `+"`--config`"+`, else the one that `+"`ROLLCALL_CONFIG`"+` names, else `+"`"+config.DefaultFile+"`"+` if it is there;
4. the defaults.

An option is replaced as a whole. An unknown option, a value of the wrong type and a glob that does not compile are errors that name the
file and line, the variable or the flag. Durations are written `+"`30s`, `5m`, or in seconds"+`.

`+schema.Markdown()+`
## A file to start from

`+"`rollcall config --example`"+` prints it:

`+"```yaml\n"+schema.Example()+"```\n")
}
