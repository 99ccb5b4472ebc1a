//go:build ignore

// Tasks is the project's one front door for building and testing: go run tasks.go <task>.
//
// It needs Go and nothing else, prints every command that it runs, and exits with 0 when the task
// succeeded, 1 when it failed and 2 when it was called wrongly. Tasks that run tests end with a
// line "N passed, N failed, N skipped".
package main

import (
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-dev/rollcall/test/tasks/mutants"
	"github.com/rollcall-dev/rollcall/test/tasks/results"
)

// resultsEnv names a file to which every test result is appended, and from which summary counts, so
// that several calls can end in one count.
const resultsEnv = "ROLLCALL_RESULTS"

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
			"build the newest daemons that the tests know, and those of Kubernetes, and say where they are",
			daemons},
		{"e2e",
			"run the tests with real daemons (Linux, as root); -newest: with those of daemons, not the installed", e2e},
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
		{"summary", "count the results in the file that " + resultsEnv + " names", summary},
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

// command prepares a command and prints it. Entries of env are added to the environment.
func command(env []string, name string, args ...string) *exec.Cmd {
	fmt.Println("$", strings.Join(append(append(slices.Clone(env), name), args...), " "))
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd
}

func run(name string, args ...string) error { return runEnv(nil, name, args...) }

func runEnv(env []string, name string, args ...string) error {
	if err := command(env, name, args...).Run(); err != nil {
		return fmt.Errorf("%s: %w", strings.Join(append([]string{name}, args...), " "), err)
	}
	return nil
}

// capture runs a command and returns what it printed to stdout.
func capture(env []string, name string, args ...string) (string, error) {
	cmd := command(env, name, args...)
	cmd.Stdout = nil
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return string(out), nil
}

// gofmt runs the one of the Go distribution in use, which need not be in PATH.
func gofmt(args ...string) (string, error) {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOROOT: %w", err)
	}
	return capture(nil, filepath.Join(strings.TrimSpace(string(root)), "bin", "gofmt"), args...)
}

// need is a program that tests call, and the Debian packages that bring it. The second package is
// tried when the first, on this release, does not hold the program.
type need struct {
	file     string // a name to find in PATH, or an absolute path
	packages []string
	reason   string
}

func needs() []need {
	return []need{
		{"dockerd", []string{"docker.io"}, "real Docker in tests"},
		{"docker", []string{"docker.io", "docker-cli"}, "real Docker in tests"},
		{"containerd", []string{"containerd"}, "real containerd in tests"},
		{"runc", []string{"runc"}, "containers in tests"},
		{"podman", []string{"podman"}, "real Podman in tests"},
		{"conmon", []string{"conmon"}, "real Podman in tests"},
		{"busybox", []string{"busybox-static"}, "the only program in test images"},
		{"/usr/lib/cni/bridge", []string{"containernetworking-plugins"}, "pod networks in tests"},
		{"/usr/lib/podman/netavark", []string{"netavark"}, "Podman's networks in tests"},
		{"gcc", []string{"gcc", "build-essential"}, "the race detector"},
		{"/usr/include/stdlib.h", []string{"libc6-dev"}, "the race detector"},
		{"pkg-config", []string{"pkgconf", "pkg-config"}, "building the newest runc"},
		{"/usr/include/seccomp.h", []string{"libseccomp-dev"}, "building the newest runc"},
	}
}

func (n need) missing() bool {
	paths := []string{n.file, "/usr/sbin/" + n.file}
	if filepath.IsAbs(n.file) {
		_, err := os.Stat(n.file)
		return err != nil
	}
	return !slices.ContainsFunc(paths,
		func(path string) bool { _, err := exec.LookPath(path); return err == nil })
}

func setup(args []string) error {
	parse("setup", args, nil)
	if runtime.GOOS != "linux" {
		fmt.Println("Go is enough here. The tests with real daemons run on Linux only.")
		return nil
	}
	for attempt := range 3 {
		var packages []string
		for _, n := range needs() {
			if n.missing() {
				fmt.Printf("missing: %s (%s), for %s\n", n.file, strings.Join(n.packages, " or "),
					n.reason)
				packages = append(packages, n.packages[min(attempt, len(n.packages)-1)])
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
		if err := runEnv(env, "apt-get", "update"); err != nil {
			return err
		}
		if err := runEnv(env, "apt-get", args...); err != nil {
			return err
		}
	}
	return errors.New("programs are still missing after the installation")
}

func gen(args []string) error {
	parse("gen", args, nil)
	if err := run("go", "generate", "./..."); err != nil {
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
	tests := command(nil, "go", goArgs...)
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
	return run("go", append(goArgs, "-o", "bin"+string(filepath.Separator), "./cmd/rollcall")...)
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
	vet := run("go", "vet", "./...")
	// go test would vet a second time.
	r := results.New()
	err := errors.Join(vet, goTest(r, nil, append([]string{"-vet=off"}, args...)...))
	return end(r, err)
}

func e2e(args []string) error {
	newest := false
	parse("e2e", args, func(set *flag.FlagSet) {
		set.BoolVar(&newest, "newest", false, "with the daemons that the task daemons builds")
	})
	packages, err := realNodePackages()
	if err != nil {
		return err
	}
	env := []string{"ROLLCALL_REALNODE=1"}
	kube, err := kubeFolder()
	if err != nil {
		return err
	}
	// One package at a time: their daemons would slow each other down into time-outs.
	goArgs := []string{"-vet=off", "-count=1", "-p=1", "-timeout=15m"}
	if newest {
		dir, err := buildDaemons()
		if err == nil {
			kube, err = buildKube()
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
	if _, err := os.Stat(filepath.Join(kube, "kubelet")); err == nil {
		env = append(env, "ROLLCALL_REALNODE_KUBE="+kube)
	}
	r := results.New()
	return end(r, goTest(r, env, append(goArgs, packages...)...))
}

func daemons(args []string) error {
	parse("daemons", args, nil)
	dir, err := buildDaemons()
	if err != nil {
		return err
	}
	kube, err := buildKube()
	if err == nil {
		fmt.Printf("%s\n%s\n", dir, kube)
	}
	return err
}

// buildDaemons builds the programs that test/realnode/newest/go.mod names into a folder of the
// user's cache, one for each set of versions, and returns it.
func buildDaemons() (string, error) {
	dir, err := cacheFolder("daemons", newestModule)
	if err != nil {
		return "", err
	}
	return dir, buildTools(newestModule, dir)
}

// Modules with the programs that tests run as daemons. That of Kubernetes is as it was released,
// with its own libraries, which etcd's are not.
var (
	newestModule = filepath.Join("test", "realnode", "newest")
	kubeModule   = filepath.Join("test", "realnode", "kube", "v1.37")
	etcdModule   = filepath.Join("test", "realnode", "kube", "etcd")
)

// kubeFolder is the folder of the user's cache for etcd, kube-apiserver and kubelet.
func kubeFolder() (string, error) { return cacheFolder("kube", kubeModule, etcdModule) }

// buildKube builds the programs of Kubernetes and returns their folder.
func buildKube() (string, error) {
	dir, err := kubeFolder()
	if err != nil {
		return "", err
	}
	version, err := capture(nil, "go", "-C", kubeModule, "list", "-m", "-f", "{{.Version}}",
		"k8s.io/kubernetes")
	if err != nil {
		return "", err
	}
	version = strings.TrimSpace(version)
	numbers := strings.Split(strings.TrimPrefix(version, "v"), ".")
	const in = "-X k8s.io/component-base/version."
	flags := fmt.Sprintf("-ldflags=-s -w %sgitVersion=%s %sgitMajor=%s %sgitMinor=%s", in, version,
		in, numbers[0], in, numbers[1])
	if err := buildTools(etcdModule, dir); err != nil {
		return "", err
	}
	return dir, buildTools(kubeModule, dir, flags)
}

// cacheFolder returns a folder of the user's cache, one for each set of versions in the modules.
func cacheFolder(name string, modules ...string) (string, error) {
	hash := sha256.New()
	for _, module := range modules {
		sums, err := os.ReadFile(filepath.Join(module, "go.sum"))
		if err != nil {
			return "", err
		}
		hash.Write(sums)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(cache, "rollcall", name+"-"+fmt.Sprintf("%x", hash.Sum(nil))[:12]), nil
}

// buildTools builds the programs that a module's go.mod names as its tools into a folder.
func buildTools(module, dir string, flags ...string) error {
	programs, err := capture(nil, "go", "-C", module, "list", "tool")
	if err != nil {
		return err
	}
	for _, program := range strings.Fields(programs) {
		env := []string{"CGO_ENABLED=0"}
		goArgs := append([]string{"-C", module, "build", "-trimpath"}, flags...)
		out := dir + string(filepath.Separator)
		switch path.Base(program) {
		case "runc":
			// It enters namespaces in C, and Docker asks it for seccomp filters.
			env, goArgs = []string{"CGO_ENABLED=1"}, append(goArgs, "-tags=seccomp")
		case "v3": // of go.etcd.io/etcd/server
			out += "etcd"
		}
		if err := runEnv(env, "go", append(goArgs, "-o", out, program)...); err != nil {
			return err
		}
	}
	return nil
}

// realNodePackages lists test/e2e, test/realnode and every other package whose tests start real
// daemons.
func realNodePackages() ([]string, error) {
	out, err := capture(nil, "go", "list", "-f",
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
	if err := run("go", "build", "-o", program, "./test/bench"); err != nil {
		return err
	}
	started := time.Now().Add(-time.Second) // file systems round times
	err = run(program, args...)
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
	packages, err := packagesWith(regexp.MustCompile(`(?m)^func Fuzz`))
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
		if err := run("go", "test", "-vet=off", "-c", "-fuzz=.", "-o", file, pkg); err != nil {
			errs = append(errs, err)
			continue
		}
		list, err := capture(nil, file, "-test.list=^Fuzz")
		errs = append(errs, err)
		for _, name := range strings.Fields(list) {
			cmd := command(nil, file, "-test.run=^$", "-test.fuzz=^"+name+"$",
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

// packagesWith lists the folders of this module, as ./paths, with a test file that matches. Looking
// at the text first spares compiling the tests of all other packages.
func packagesWith(text *regexp.Regexp) ([]string, error) {
	found := map[string]bool{}
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != "." &&
			(strings.HasPrefix(entry.Name(), ".") || entry.Name() == "testdata"):
			return fs.SkipDir
		case entry.IsDir() && path != ".":
			if _, err := os.Stat(filepath.Join(path, "go.mod")); err == nil {
				return fs.SkipDir // another module
			}
		case strings.HasSuffix(path, "_test.go"):
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if text.Match(content) {
				found["./"+filepath.ToSlash(filepath.Dir(path))] = true
			}
		}
		return nil
	})
	return slices.Sorted(maps.Keys(found)), err
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
		_, err := capture(nil, "go", "tool", "-modfile=tools/go.mod", "gremlins", "unleash",
			"--dry-run", "--invert-negatives=false", // arithmetic-base is the same
			"--output="+report, folder)
		return err
	})
	if err != nil {
		return score, err
	}
	deps, err := capture(nil, "go", "list", "-test", "-deps", "./"+target.Folder)
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
		run("go", "vet", "tasks.go"), // golangci-lint does it for the packages
		run("go", "tool", "-modfile=tools/go.mod", "golangci-lint", "run", "./..."),
	)
}

func cross(args []string) error {
	parse("cross", args, nil)
	var errs []error
	for _, system := range []string{"darwin", "windows"} {
		env := []string{"GOOS=" + system, "CGO_ENABLED=0"}
		// With -e a package whose files are all for Linux is listed, without files, and so left
		// out.
		out, err := capture(env, "go", "list", "-e", "-f", "{{if .GoFiles}}{{.ImportPath}}{{end}}",
			"./...")
		if err == nil && strings.TrimSpace(out) != "" {
			err = runEnv(env, "go", append([]string{"build"}, strings.Fields(out)...)...)
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
	if os.Getenv(resultsEnv) == "" {
		file, err := os.CreateTemp("", "rollcall-results")
		if err != nil {
			return err
		}
		file.Close()
		defer os.Remove(file.Name())
		os.Setenv(resultsEnv, file.Name())
	}
	left := strings.Split(except, ",")
	for _, name := range left {
		if except != "" && !slices.Contains(slices.Concat(waiting, compiling, last), name) {
			return misuse{fmt.Errorf("no step %q (there are %s)", name,
				strings.Join(slices.Concat(waiting, compiling, last), ", "))}
		}
	}
	background := make(chan []step, 1)
	go func() {
		background <- runSteps(left, true, compiling...)
	}()
	done := runSteps(left, false, waiting...)
	done = append(done, <-background...)
	done = append(done, runSteps(left, false, last...)...)

	var errs []error
	fmt.Printf("\n== all steps\n")
	for _, s := range done {
		word := "ok"
		if s.err != nil {
			word = "FAILED"
			errs = append(errs, fmt.Errorf("%s failed", s.name))
		}
		fmt.Printf("  %-20s %-6s %v\n", s.name, word, s.took.Round(time.Second))
	}
	return errors.Join(append(errs, summary(nil))...)
}

// step is a task with its arguments that check has run.
type step struct {
	name string
	took time.Duration
	err  error
}

// runSteps runs tasks one after the other, each in a process of its own, but for those in except.
// In the background their output is shown when they have ended, so that it does not mix with that
// of others.
func runSteps(except []string, background bool, names ...string) (done []step) {
	self, err := os.Executable()
	if err != nil {
		return []step{{name: "find this program", err: err}}
	}
	for _, name := range names {
		if slices.Contains(except, name) {
			continue
		}
		started := time.Now()
		var out []byte
		cmd := exec.Command(self, strings.Fields(name)...)
		if background {
			if nice, err := exec.LookPath("nice"); err == nil {
				cmd = exec.Command(nice, append([]string{"-n", "15", self}, cmd.Args[1:]...)...)
			}
			out, err = cmd.CombinedOutput()
			fmt.Printf("\n== %s\n%s", name, out)
		} else {
			fmt.Printf("\n== %s\n", name)
			cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
			err = cmd.Run()
		}
		if err != nil {
			fmt.Printf("%s: %v\n", name, err)
			err = errors.Join(err, recordStep(name, err, string(out)))
		}
		done = append(done, step{name, time.Since(started), err})
	}
	return done
}

// recordStep notes that a step has failed which runs no tests, and so has no results of its own.
func recordStep(name string, err error, output string) error {
	task, _, _ := strings.Cut(name, " ")
	if slices.Contains([]string{"test", "e2e", "race", "fuzz"}, task) {
		return nil
	}
	r := results.New()
	r.Record("the step itself", err, output)
	return r.Append(os.Getenv(resultsEnv), name)
}

func summary(args []string) error {
	parse("summary", args, nil)
	path := os.Getenv(resultsEnv)
	if path == "" {
		return errors.New(resultsEnv + " names no file")
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
	return r.GoTest(command(env, "go", append([]string{"test", "-json"}, args...)...))
}

// end saves and prints the results and returns the task's error.
func end(r *results.Results, err error) error {
	if path := os.Getenv(resultsEnv); path != "" {
		err = errors.Join(err, r.Append(path, strings.Join(os.Args[1:], " ")))
	}
	r.Print(os.Stdout)
	return err
}
