//go:build ignore

// Tasks is the project's one front door for building and testing: go run tasks.go <task>.
//
// It needs Go and nothing else, prints every command that it runs, and exits with 0 when the task
// succeeded, 1 when it failed and 2 when it was called wrongly. Tasks that run tests end with a
// line "N passed, N failed, N skipped".
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-dev/rollcall/test/tasks/mutants"
	"github.com/rollcall-dev/rollcall/test/tasks/needs"
	"github.com/rollcall-dev/rollcall/test/tasks/programs"
	"github.com/rollcall-dev/rollcall/test/tasks/results"
	"github.com/rollcall-dev/rollcall/test/tasks/search"
	"github.com/rollcall-dev/rollcall/test/tasks/shell"
	"github.com/rollcall-dev/rollcall/test/tasks/steps"
)

type task struct {
	name, help string
	run        func(args []string) error
}

func tasks() []task {
	return []task{
		{"setup", "install what the tests need (Debian, as root); elsewhere say what that is",
			setup},
		{"gen", "run go generate and format", gen},
		{"build", "write bin/rollcall", build},
		{"test", "vet, then run all tests; arguments go to go test instead of ./...", test},
		{"daemons",
			"build the newest daemons that the tests know, and those of Kubernetes, and say where they are: -kube 1.34",
			daemons},
		{"e2e",
			"run the tests with real daemons (Linux, as root); -newest: with those of daemons, not the installed; -kube 1.34", e2e},
		{"helm", "test the Helm chart with Helm's own packages; -update writes the manifests anew",
			helm},
		{"race", "run the tests with the race detector, without the slow ones", race},
		{"bench", "run the benchmarks and write bench.json; arguments go to test/bench", bench},
		{"fuzz", "fuzz every target for a while: -fuzztime 10s", fuzz},
		{"mutate",
			"count how many deliberate faults the tests of the core catch; arguments are folders or files",
			mutate},
		{"lint", "check formatting, go vet, golangci-lint", lint},
		{"cross", "build the packages for macOS and Windows", cross},
		{"check", "do everything that CI does, in order; -except e2e,newest leaves steps out",
			check},
		{"summary", "count the results in the file that " + results.Env + " names", summary},
	}
}

func main() {
	if len(os.Args) < 2 {
		usage("no task given")
	}
	if err := enterModule(); err != nil {
		fmt.Fprintln(os.Stderr, "tasks:", err)
		os.Exit(1)
	}
	for _, t := range tasks() {
		if t.name != os.Args[1] {
			continue
		}
		if err := t.run(os.Args[2:]); err != nil {
			fmt.Fprintf(os.Stderr, "tasks: %s: %v\n", t.name, err)
			if _, ok := errors.AsType[misuse](err); ok {
				os.Exit(2)
			}
			os.Exit(1)
		}
		return
	}
	usage("unknown task " + os.Args[1])
}

func usage(problem string) {
	fmt.Fprintf(os.Stderr, "tasks: %s\nusage: go run tasks.go <task> [arguments]\n", problem)
	for _, t := range tasks() {
		fmt.Fprintf(os.Stderr, "  %-8s %s\n", t.name, t.help)
	}
	os.Exit(2)
}

// misuse is the error of a task that was called wrongly.
type misuse struct{ error }

// enterModule changes to the folder of the module in which the tool was called.
func enterModule() error {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return fmt.Errorf("go env GOMOD: %w", err)
	}
	file := strings.TrimSpace(string(out))
	if filepath.Base(file) != "go.mod" {
		return errors.New("call me inside the module's folder")
	}
	return os.Chdir(filepath.Dir(file))
}

// parse reads a task's own flags, which define may declare. A mistake in them is a usage error.
func parse(name string, args []string, define func(*flag.FlagSet)) {
	set := flag.NewFlagSet(name, flag.ContinueOnError)
	if define != nil {
		define(set)
	}
	if err := set.Parse(args); err != nil {
		os.Exit(2) // Parse has said why
	}
	if set.NArg() > 0 {
		usage(name + ": unexpected argument " + set.Arg(0))
	}
}

// gofmt runs the one of the Go distribution in use, which need not be in PATH.
func gofmt(args ...string) (string, error) {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOROOT: %w", err)
	}
	return shell.Capture(nil, filepath.Join(strings.TrimSpace(string(root)), "bin", "gofmt"),
		args...)
}

func setup(args []string) error {
	parse("setup", args, nil)
	if runtime.GOOS != "linux" {
		fmt.Println("Go is enough here. The tests with real daemons run on Linux only.")
		return nil
	}
	for attempt := range 3 {
		var packages []string
		for _, n := range needs.All() {
			if n.Missing() {
				fmt.Printf("missing: %s (%s), for %s\n", n.File, strings.Join(n.Packages, " or "),
					n.Reason)
				packages = append(packages, n.Packages[min(attempt, len(n.Packages)-1)])
			}
		}
		if packages == nil {
			fmt.Println("nothing is missing")
			return nil
		}
		if _, err := os.Stat("/etc/debian_version"); err != nil || os.Geteuid() != 0 {
			return errors.New(
				"this installs on Debian as root only; `test` works without these, `e2e` and `race` do not")
		}
		if attempt == 2 {
			break
		}
		env := []string{"DEBIAN_FRONTEND=noninteractive"}
		args := append([]string{"install", "-y", "--no-install-recommends"}, packages...)
		if err := shell.RunEnv(env, "apt-get", "update"); err != nil {
			return err
		}
		if err := shell.RunEnv(env, "apt-get", args...); err != nil {
			return err
		}
	}
	return errors.New("programs are still missing after the installation")
}

func gen(args []string) error {
	parse("gen", args, nil)
	if err := shell.Run("go", "generate", "./..."); err != nil {
		return err
	}
	out, err := gofmt("-l", "-w", ".")
	fmt.Print(out)
	return errors.Join(err, helm([]string{"-update"}))
}

// helm runs the tests of the chart, which have a module of their own.
func helm(args []string) error {
	update := false
	parse("helm", args, func(set *flag.FlagSet) {
		set.BoolVar(&update, "update", false, "write the manifests anew")
	})
	goArgs := []string{"test", "-json", "./..."}
	if update {
		goArgs = append(goArgs, "-update")
	}
	tests := shell.Command(nil, "go", goArgs...)
	tests.Dir = filepath.Join("test", "helm")
	r := results.New()
	return end(r, r.GoTest(tests))
}

func build(args []string) error {
	parse("build", args, nil)
	if err := exists("cmd/rollcall"); err != nil {
		return err
	}
	goArgs := []string{"build", "-trimpath"}
	if out, err := exec.Command("git", "describe", "--tags", "--always",
		"--dirty").Output(); err == nil {
		goArgs = append(goArgs, "-ldflags=-X=main.version="+strings.TrimSpace(string(out)))
	}
	return shell.Run("go",
		append(goArgs, "-o", "bin"+string(filepath.Separator), "./cmd/rollcall")...)
}

func exists(dir string) error {
	if info, err := os.Stat(filepath.FromSlash(dir)); err != nil || !info.IsDir() {
		return fmt.Errorf("there is no folder %s in this module", dir)
	}
	return nil
}

func test(args []string) error {
	if len(args) == 0 {
		args = []string{"./..."}
	}
	vet := shell.Run("go", "vet", "./...")
	// go test would vet a second time.
	r := results.New()
	err := errors.Join(vet, goTest(r, nil, append([]string{"-vet=off"}, args...)...))
	return end(r, err)
}

func e2e(args []string) error {
	newest, long, release := false, false, ""
	parse("e2e", args, func(set *flag.FlagSet) {
		set.BoolVar(&long, "long", false, "longer outages of a kubelet, and more short pods")
		set.BoolVar(&newest, "newest", false, "with the daemons that the task daemons builds")
		kubeFlag(set, &release)
	})
	packages, err := realNodePackages()
	if err != nil {
		return err
	}
	env := []string{"ROLLCALL_REALNODE=1"}
	if long {
		env = append(env, "ROLLCALL_REALNODE_LONG=1")
	}
	kube, _ := programs.KubeFolder(release) // a module without them has none
	// One package at a time: their daemons would slow each other down into time-outs.
	goArgs := []string{"-vet=off", "-count=1", "-p=1", "-timeout=30m"}
	if newest {
		var dir string
		if dir, err = programs.Build(); err == nil {
			kube, err = programs.BuildKube(release)
		}
		if err != nil {
			return err
		}
		env = append(env, "ROLLCALL_REALNODE_PROGRAMS="+dir)
		// there is no newer one: it is not to be had as a Go module
		goArgs = append(goArgs, "-skip=Podman")
		// The command line does not depend on which daemon answers.
		packages = slices.DeleteFunc(packages,
			func(name string) bool { return strings.Contains(name, "/cmd/") })
	}
	// Of Kubernetes there is no installed one: without -newest its tests would only run twice.
	if _, err := os.Stat(filepath.Join(kube, "kubelet")); err == nil &&
		(newest || release != programs.Kube) {
		env = append(env, "ROLLCALL_REALNODE_KUBE="+kube)
	}
	r := results.New()
	return end(r, goTest(r, env, append(goArgs, packages...)...))
}

// kubeFlag declares the flag that chooses a folder of test/realnode/kube.
func kubeFlag(set *flag.FlagSet, release *string) {
	*release = programs.Kube
	set.Func("kube", "the version of Kubernetes, 1.37 or 1.34 (default 1.37)",
		func(version string) error {
			_, err := programs.KubeFolder(version)
			*release = version
			return err
		})
}

func daemons(args []string) error {
	var release string
	parse("daemons", args, func(set *flag.FlagSet) { kubeFlag(set, &release) })
	dir, err := programs.Build()
	if err != nil {
		return err
	}
	kube, err := programs.BuildKube(release)
	if err == nil {
		fmt.Printf("%s\n%s\n", dir, kube)
	}
	return err
}

// realNodePackages lists test/e2e, test/realnode and every other package whose tests start real
// daemons.
func realNodePackages() ([]string, error) {
	out, err := shell.Capture(nil, "go", "list", "-f",
		"{{.ImportPath}} {{.Module.Path}} {{join .TestImports \" \"}} {{join .XTestImports \" \"}}",
		"./...")
	if err != nil {
		return nil, err
	}
	var packages []string
	for line := range strings.Lines(out) {
		fields := strings.Fields(line)
		realnode, e2e := fields[1]+"/test/realnode", fields[1]+"/test/e2e"
		if slices.ContainsFunc([]string{realnode, e2e}, func(dir string) bool {
			return fields[0] == dir || strings.HasPrefix(fields[0], dir+"/")
		}) || slices.Contains(fields[2:], realnode) {
			packages = append(packages, fields[0])
		}
	}
	if packages == nil {
		return nil, errors.New("no package starts real daemons in its tests")
	}
	return packages, nil
}

func race(args []string) error {
	if len(args) == 0 {
		args = []string{"./..."}
	}
	r := results.New()
	err := goTest(r, []string{"CGO_ENABLED=1"},
		append([]string{"-vet=off", "-race", "-short"}, args...)...)
	return end(r, err)
}

func bench(args []string) error {
	if err := exists("test/bench"); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "rollcall-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "bench") // go run would not tell its exit code
	if err := shell.Run("go", "build", "-o", program, "./test/bench"); err != nil {
		return err
	}
	started := time.Now().Add(-time.Second) // file systems round times
	err = shell.Run(program, args...)
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == 2 {
		return misuse{err}
	}
	if err != nil {
		return err
	}
	if info, err := os.Stat("bench.json"); err != nil || info.ModTime().Before(started) {
		return errors.New("test/bench ended well but did not write bench.json")
	}
	return nil
}

func fuzz(args []string) error {
	each := "10s"
	parse("fuzz", args, func(set *flag.FlagSet) {
		set.Func("fuzztime",
			"how long to fuzz each target, or how often: 2000x (default 10s; before a release: 5m)",
			func(value string) error {
				if d, err := time.ParseDuration(value); !regexp.MustCompile(
					`^[1-9][0-9]*x$`).MatchString(value) && (err != nil || d <= 0) {
					return errors.New("want a duration or a count such as 2000x")
				}
				each = value
				return nil
			})
	})
	packages, err := search.PackagesWith(regexp.MustCompile(`(?m)^func Fuzz`))
	if err != nil {
		return err
	}
	if packages == nil {
		return misuse{errors.New("no package of this module has a fuzz target")}
	}
	bin, err := os.MkdirTemp("", "rollcall-fuzz")
	if err != nil {
		return err
	}
	defer os.RemoveAll(bin)
	r := results.New()
	var errs []error
	for i, pkg := range packages {
		// go test -fuzz would link the binary anew for each target.
		file := filepath.Join(bin, fmt.Sprint(i))
		if err := shell.Run("go", "test", "-vet=off", "-c", "-fuzz=.", "-o", file,
			pkg); err != nil {
			errs = append(errs, err)
			continue
		}
		list, err := shell.Capture(nil, file, "-test.list=^Fuzz")
		errs = append(errs, err)
		for _, name := range strings.Fields(list) {
			cmd := shell.Command(nil, file, "-test.run=^$", "-test.fuzz=^"+name+"$",
				"-test.fuzztime="+each, "-test.fuzzcachedir="+filepath.Join(bin, "corpus", pkg))
			cmd.Dir = filepath.FromSlash(pkg) // where a failing input is written to
			var out strings.Builder
			cmd.Stdout = io.MultiWriter(os.Stdout, &out)
			err := cmd.Run()
			errs = append(errs, err)
			r.Record(pkg+"."+name+" (fuzzed)", err, out.String())
		}
	}
	return end(r, errors.Join(errs...))
}

// mutated are the packages that everything else stands on.
var mutated = []string{
	"pkg/statebus", "pkg/singlewriter", "comp/workloadmeta", "comp/workloadmeta/store",
	"comp/workloadmeta/collection",
	"comp/tagger", "comp/tagger/tagstore", "comp/tagger/local", "comp/tagger/extract",
	"comp/rules",
	"comp/workloadmeta/collectors/runtime/internal/runtimesync",
}

// mutate changes the source in many small ways, one at a time, and counts how many of these faults
// the tests of the package catch. An argument is a folder, a file or a line, "pkg/env/env.go:12".
func mutate(args []string) error {
	if len(args) == 0 {
		args = mutated
	}
	accepted, err := mutants.ReadAccepted("test/tasks/mutants/accepted.txt")
	if err != nil {
		return err
	}
	var all mutants.Score
	table := mutants.Columns + "\n"
	for _, target := range mutants.Targets(args) {
		score, err := mutatePackage(target, accepted)
		if _, ok := errors.AsType[*mutants.NoneError](err); ok {
			return misuse{err}
		}
		if err != nil {
			return err
		}
		all.Add(score)
		table += fmt.Sprintf("%v  %s\n", score, target.Folder)
		fmt.Printf("\n%s%v  all\n\n", table, all)
	}
	return nil
}

func mutatePackage(target *mutants.Target, accepted mutants.Accepted) (score mutants.Score,
	err error) {
	dir, err := os.MkdirTemp("", "rollcall-mutants")
	if err != nil {
		return score, err
	}
	defer os.RemoveAll(dir)
	list, err := target.Find(dir, func(folder, report string) error {
		_, err := shell.Capture(nil, "go", "tool", "-modfile=tools/go.mod", "gremlins", "unleash",
			"--dry-run", "--invert-negatives=false", // arithmetic-base is the same
			"--output="+report, folder)
		return err
	})
	if err != nil {
		return score, err
	}
	deps, err := shell.Capture(nil, "go", "list", "-test", "-deps", "./"+target.Folder)
	if err != nil {
		return score, err
	}
	var flags []string
	if strings.Contains(deps, "pgregory.net/rapid\n") {
		// It would look for the smallest example of each fault for half a minute.
		flags = []string{"-rapid.shrinktime=0s", "-rapid.nofailfile"}
	}
	trial, err := mutants.NewTrial(target.Folder, dir, list, flags...)
	if err != nil {
		return score, err
	}
	err = trial.TryAll(list, runtime.NumCPU(), func(m mutants.Mutant, fate mutants.Fate) {
		score.Count(m, fate, accepted)
		switch {
		case fate == mutants.Survived && !accepted.Has(m):
			fmt.Println("survived:", m)
		case fate == mutants.TimedOut:
			fmt.Println("timed out:", m)
		}
	})
	return score, err
}

func lint(args []string) error {
	parse("lint", args, nil)
	out, err := gofmt("-l", ".")
	if out != "" {
		err = fmt.Errorf("not formatted (go run tasks.go gen does it):\n%s", out)
	}
	return errors.Join(err,
		shell.Run("go", "vet", "tasks.go"), // golangci-lint does it for the packages
		shell.Run("go", "tool", "-modfile=tools/go.mod", "golangci-lint", "run", "./..."),
	)
}

func cross(args []string) error {
	parse("cross", args, nil)
	var errs []error
	for _, system := range []string{"darwin", "windows"} {
		env := []string{"GOOS=" + system, "CGO_ENABLED=0"}
		// With -e a package whose files are all for Linux is listed, without files, and so left
		// out.
		out, err := shell.Capture(env, "go", "list", "-e", "-f",
			"{{if .GoFiles}}{{.ImportPath}}{{end}}",
			"./...")
		if err == nil && strings.TrimSpace(out) != "" {
			err = shell.RunEnv(env, "go", append([]string{"build"}, strings.Fields(out)...)...)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// The steps of check. Tests with real daemons mostly wait. What mostly compiles runs beside them,
// at a low priority, so that it does not slow the daemons down.
var (
	waiting   = []string{"test", "e2e", "e2e -newest"}
	compiling = []string{"daemons", "lint", "build", "helm", "race", "fuzz -fuzztime=2000x",
		"cross"}
	last = []string{"bench"}
)

func check(args []string) error {
	var except string
	parse("check", args, func(set *flag.FlagSet) {
		set.StringVar(&except, "except", "", "steps to leave out, separated by commas")
	})
	if os.Getenv(results.Env) == "" {
		file, err := os.CreateTemp("", "rollcall-results")
		if err != nil {
			return err
		}
		file.Close()
		defer os.Remove(file.Name())
		os.Setenv(results.Env, file.Name())
	}
	left := strings.Split(except, ",")
	for _, name := range left {
		if except != "" && !slices.Contains(slices.Concat(waiting, compiling, last), name) {
			return misuse{fmt.Errorf("no step %q (there are %s)", name,
				strings.Join(slices.Concat(waiting, compiling, last), ", "))}
		}
	}
	background := make(chan []steps.Step, 1)
	go func() {
		background <- steps.Run(left, true, compiling...)
	}()
	done := steps.Run(left, false, waiting...)
	done = append(done, <-background...)
	done = append(done, steps.Run(left, false, last...)...)

	var errs []error
	fmt.Printf("\n== all steps\n")
	for _, s := range done {
		word := "ok"
		if s.Err != nil {
			word = "FAILED"
			errs = append(errs, fmt.Errorf("%s failed", s.Name))
		}
		fmt.Printf("  %-20s %-6s %v\n", s.Name, word, s.Took.Round(time.Second))
	}
	return errors.Join(append(errs, summary(nil))...)
}

func summary(args []string) error {
	parse("summary", args, nil)
	path := os.Getenv(results.Env)
	if path == "" {
		return errors.New(results.Env + " names no file")
	}
	r, err := results.Read(path)
	if err != nil {
		return err
	}
	r.Print(os.Stdout)
	return nil
}

// goTest runs go test and records its results.
func goTest(r *results.Results, env []string, args ...string) error {
	return r.GoTest(shell.Command(env, "go", append([]string{"test", "-json"}, args...)...))
}

// end saves and prints the results and returns the task's error.
func end(r *results.Results, err error) error {
	if path := os.Getenv(results.Env); path != "" {
		err = errors.Join(err, r.Append(path, strings.Join(os.Args[1:], " ")))
	}
	r.Print(os.Stdout)
	return err
}
