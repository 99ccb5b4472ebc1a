package proclang_test

import (
	"testing"

	"github.com/rollcall-dev/rollcall/pkg/proclang"
)

func TestDetect(t *testing.T) {
	args := func(a ...string) []string { return a }
	tests := []struct {
		name string
		in   proclang.Process
		want string
	}{
		{"nothing", proclang.Process{}, ""},
		{"python", proclang.Process{Args: args("python", "app.py")}, "python"},
		{"py launcher", proclang.Process{Args: args("py", "app.py")}, "python"},
		{"python with version", proclang.Process{Args: args("/usr/bin/python3.11", "app.py")}, "python"},
		{"java", proclang.Process{Args: args("/opt/jdk/bin/java", "-jar", "a.jar")}, "java"},
		{"javaw", proclang.Process{Args: args(`C:\jdk\bin\javaw.exe`, "-jar", "a.jar")}, "java"},
		{"javac", proclang.Process{Comm: "javac", Args: args("javac", "A.java")}, ""},
		{"node", proclang.Process{Args: args("node", "server.js")}, "node"},
		{"npm rewrites its title", proclang.Process{Args: args("npm run start")}, "node"},
		{"nodejs", proclang.Process{Args: args("nodejs", "server.js")}, "node"},
		{"dotnet", proclang.Process{Args: args("dotnet", "app.dll")}, "dotnet"},
		{"ruby", proclang.Process{Args: args("ruby", "app.rb")}, "ruby"},
		{"rubyw", proclang.Process{Args: args("rubyw", "app.rb")}, "ruby"},
		{"ruby with version", proclang.Process{Args: args("/usr/bin/ruby2.7", "app.rb")}, "ruby"},
		{"ruby with half a version", proclang.Process{Args: args("ruby2", "app.rb")}, ""},
		{"rubymine", proclang.Process{Args: args("rubymine")}, ""},
		{"jruby", proclang.Process{Comm: "java", Args: args("java", "-Xmx1g", "org.jruby.Main", "app.rb")}, "ruby"},
		{"jruby needs the whole name", proclang.Process{Comm: "java", Args: args("java", "org.jruby.MainX")}, "java"},
		{"jruby needs java", proclang.Process{Comm: "sh", Args: args("sh", "org.jruby.Main")}, ""},
		{"upper case", proclang.Process{Args: args("Python", "app.py")}, "python"},
		{"quotes", proclang.Process{Args: args(`"/usr/bin/python"`, "app.py")}, "python"},
		{"login shell style", proclang.Process{Args: args("-python")}, "python"},
		{"parentheses", proclang.Process{Args: args("(python)")}, "python"},
		{"a space only counts in a lone argument", proclang.Process{Args: args("python x", "y")}, "python"},
		{"comm", proclang.Process{Comm: "python3", Args: args("gunicorn: master [app]")}, "python"},
		{"comm without arguments", proclang.Process{Comm: "java"}, "java"},
		{"exe", proclang.Process{Comm: "gunicorn", Exe: "/usr/bin/python3.11", Args: args("gunicorn: master [app]")}, "python"},
		{"exe replaced by an upgrade", proclang.Process{Comm: "MainThread", Exe: "/usr/bin/node (deleted)"}, "node"},
		{"argv comes first", proclang.Process{Comm: "node", Args: args("ruby", "x")}, "ruby"},
		{"php-fpm", proclang.Process{Comm: "php-fpm8.2", Args: args("php-fpm: pool www")}, "php"},
		{"php with version", proclang.Process{Args: args("php8.2", "x.php")}, "php"},
		{"phpstorm", proclang.Process{Args: args("phpstorm")}, ""},
		{"erlang", proclang.Process{Comm: "beam.smp", Args: args("/usr/lib/erlang/erts-13/bin/beam.smp", "--", "-root")}, "erlang"},
		{"bun", proclang.Process{Args: args("bun", "x.ts")}, "bun"},
		{"deno", proclang.Process{Args: args("/root/.deno/bin/deno", "run", "x.ts")}, "deno"},
		{"shell", proclang.Process{Comm: "sh", Exe: "/bin/dash", Args: args("sh", "-c", "exec java -jar a.jar")}, ""},
		{"empty argument", proclang.Process{Args: args("")}, ""},
		{"only decoration", proclang.Process{Args: args("-")}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := proclang.Detect(tt.in); got != (proclang.Language{Name: tt.want}) {
				t.Errorf("Detect(%+v) = %+v; want %q", tt.in, got, tt.want)
			}
		})
	}
}

// FuzzDetect checks that any process has one of the known languages or none,
// and that a path in front of a program changes nothing.
func FuzzDetect(f *testing.F) {
	f.Add("java", "/usr/bin/java", "java", "org.jruby.Main")
	f.Add("", "", "npm run x", "")
	f.Add("php-fpm", "\xff", `"'`, "()")
	known := map[string]bool{
		"": true, proclang.Go: false, proclang.Node: true, proclang.DotNet: true,
		proclang.Python: true,
		proclang.Java:   true, proclang.Ruby: true, proclang.Bun: true, proclang.Deno: true,
		proclang.PHP: true, proclang.Erlang: true,
	}
	f.Fuzz(func(t *testing.T, comm, exe, arg0, arg1 string) {
		for _, args := range [][]string{nil, {arg0}, {arg0, arg1}} {
			got := proclang.Detect(proclang.Process{Comm: comm, Exe: exe, Args: args})
			if !known[got.Name] || got.Version != "" {
				t.Fatalf("Detect(%q, %q, %q) = %+v", comm, exe, args, got)
			}
		}
		plain := proclang.Detect(proclang.Process{Exe: "/" + exe})
		if deep := proclang.Detect(proclang.Process{Exe: "/opt/x/" + exe}); deep != plain {
			t.Fatalf("%q is %+v, but %+v below a folder", exe, plain, deep)
		}
	})
}
