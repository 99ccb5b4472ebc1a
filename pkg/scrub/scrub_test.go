package scrub_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/rollcall-dev/rollcall/pkg/scrub"
)

// secret is planted in every argument below; none of it may be left.
const secret = "hunter2"

func TestArgs(t *testing.T) {
	const m = scrub.Mask
	tests := []struct{ in, want []string }{
		{[]string{"psql", "--password=hunter2"}, []string{"psql", "--password=" + m}},
		{[]string{"psql", "--password", "hunter2", "-h", "db"}, []string{"psql", "--password", m, "-h", "db"}},
		{[]string{"psql", "-password", "hunter2"}, []string{"psql", "-password", m}},
		{[]string{"psql", "--password:", "hunter2"}, []string{"psql", "--password:", m}},
		{[]string{"env", "PASSWORD=hunter2", "app"}, []string{"env", "PASSWORD=" + m, "app"}},
		{[]string{"app", "password:hunter2"}, []string{"app", "password:" + m}},
		{[]string{"app", "/password:hunter2"}, []string{"app", "/password:" + m}},
		{[]string{"app", "--DB_PASSWORD_FILE=hunter2"}, []string{"app", "--DB_PASSWORD_FILE=" + m}},
		{[]string{"app", "--passwd=hunter2"}, []string{"app", "--passwd=" + m}},
		{[]string{"app", "MYSQL_PWD=hunter2"}, []string{"app", "MYSQL_PWD=" + m}},
		{[]string{"app", "--access-token", "hunter2"}, []string{"app", "--access-token", m}},
		{[]string{"app", "--auth_token=hunter2"}, []string{"app", "--auth_token=" + m}},
		{[]string{"app", "--github-token", "hunter2"}, []string{"app", "--github-token", m}},
		{[]string{"env", "GITHUB_TOKEN=hunter2", "PGPASS=hunter2"}, []string{"env", "GITHUB_TOKEN=" + m, "PGPASS=" + m}},
		{[]string{"redis-server", "--requirepass", "hunter2"}, []string{"redis-server", "--requirepass", m}},
		{[]string{"app", "--tokenizer", "bpe", "--bypass", "cache"}, []string{"app", "--tokenizer", "bpe", "--bypass", "cache"}},
		{[]string{"app", "--api-key=hunter2"}, []string{"app", "--api-key=" + m}},
		{[]string{"app", "DD_APIKEY=hunter2"}, []string{"app", "DD_APIKEY=" + m}},
		{[]string{"app", "--client-secret=hunter2"}, []string{"app", "--client-secret=" + m}},
		{[]string{"app", "--credentials", "hunter2"}, []string{"app", "--credentials", m}},
		{[]string{"app", "stripeToken=hunter2"}, []string{"app", "stripeToken=" + m}},
		{[]string{"java", "-Dspring.datasource.password=hunter2", "-jar", "a.jar"}, []string{"java", "-Dspring.datasource.password=" + m, "-jar", "a.jar"}},
		{[]string{"app", "--set=db.password=hunter2"}, []string{"app", "--set=db.password=" + m}},
		{[]string{"app", "--password=two hunter2 words"}, []string{"app", "--password=" + m}},
		{[]string{"sh", "-c", "mysql --password=hunter2 -h db"}, []string{"sh", "-c", "mysql --password=" + m + " -h db"}},
		{[]string{"sh", "-c", "mysql --password hunter2 -h db"}, []string{"sh", "-c", "mysql --password " + m + " -h db"}},
		{[]string{"sh", "-c", `mysql --password="a hunter2" -h db`}, []string{"sh", "-c", "mysql --password=" + m + " -h db"}},
		{[]string{"sh", "-c", `mysql --password 'a hunter2' -h db`}, []string{"sh", "-c", "mysql --password " + m + " -h db"}},
		{[]string{"curl", "-d", `{"user": "u", "password": "hunter2"}`}, []string{"curl", "-d", `{"user": "u", "password": ` + m}},
		{[]string{"curl", "-d", `{"password" : "a hunter2"}`}, []string{"curl", "-d", `{"password" : ` + m}},
		{[]string{"curl", "https://x/?a=1&api_key=hunter2"}, []string{"curl", "https://x/?a=1&api_key=" + m}},
		{[]string{"curl", "-H", "X-Auth-Token: hunter2"}, []string{"curl", "-H", "X-Auth-Token: " + m}},
		{[]string{"psql", "postgres://bob:hunter2@db:5432/shop"}, []string{"psql", "postgres://bob:" + m + "@db:5432/shop"}},
		{[]string{"app", "--dsn=redis://:hunter2@r", "x"}, []string{"app", "--dsn=redis://:" + m + "@r", "x"}},
		{[]string{"app", "amqp://u:hun/ter?2#@mq/v"}, []string{"app", "amqp://u:" + m + "@mq/v"}},
		{[]string{"app", "amqp://u:12hun/ter2@mq/v"}, []string{"app", "amqp://u:" + m + "@mq/v"}},
		{[]string{"app", "amqp://u:p@hunter2@mq/v"}, []string{"app", "amqp://u:" + m + "@mq/v"}},
		{[]string{"app", "a://u:hunter2@x,b://u:hunter2@y"}, []string{"app", "a://u:" + m + "@x,b://u:" + m + "@y"}},
		{[]string{"app", "a://u:hunter2@x b://u:hunter2@y"}, []string{"app", "a://u:" + m + "@x b://u:" + m + "@y"}},
		{[]string{"app", "--password", "--api-key", "hunter2"}, []string{"app", "--password", "--api-key", m}},
		{[]string{"app", "--password", "-hunter2"}, []string{"app", "--password", m}},
		{[]string{"app --password hunter2 -v"}, []string{"app --password " + m + " -v"}},
	}
	for _, tt := range tests {
		in := slices.Clone(tt.in)
		got := scrub.Args(in)
		if !slices.Equal(got, tt.want) {
			t.Errorf("Args(%q)\n got %q\nwant %q", tt.in, got, tt.want)
		}
		if strings.Contains(strings.Join(got, " "), secret) {
			t.Errorf("Args(%q) leaves the secret in %q", tt.in, got)
		}
		if !slices.Equal(in, tt.in) {
			t.Errorf("Args(%q) wrote to its argument: %q", tt.in, in)
		}
	}
}

func TestArgsWithoutSecrets(t *testing.T) {
	for _, args := range [][]string{
		nil,
		{},
		{""},
		{"nginx", "-g", "daemon off;"},
		{"mysql", "-pX"},
		{"passwd", "root"},
		{"/usr/bin/passwd", "root"},
		{"app", "--password="},
		{"app", "--password"},
		{"app", "--password", ""},
		{"sh", "-c", "exec env PASSWORD= app run"},
		{"java", "-cp", "/app/secret-service.jar", "Main"},
		{"docker", "run", "reg/secret-store:1.2"},
		{"curl", "https://secrets.example.com:8443/v1/secret/data"},
		{"npm", "--registry", "https://registry:4873/@scope/pkg"},
		{"get", "http://[::1]:8080/x@1.2", "http://host:80?mail=a@b"},
		{"git", "clone", "git@example.com:org/repo.git"},
		{"sshd: root@pts/0"},
		{"app", "--api", "key", "--pass", "word"},
	} {
		got := scrub.Args(args)
		if !slices.Equal(got, args) {
			t.Errorf("Args(%q) = %q", args, got)
		}
		if len(args) > 0 && &got[0] != &args[0] {
			t.Errorf("Args(%q) copied", args)
		}
	}
}

// What is beyond the bound of the search is hidden if it is suspicious, and
// kept if it is not.
func TestArgsIsBounded(t *testing.T) {
	long := strings.Repeat("\u00e9 x ", 10_000)
	innocent := strings.Repeat("abc ", 10_000)
	got := scrub.Args([]string{"app", long + "--password hunter2", innocent, "a password=hunter2",
		"postgres://u:hunter2@" + innocent, "secret"})
	joined := strings.Join(got, "|")
	if strings.Contains(joined, secret) {
		t.Error("the secret is left")
	}
	if !utf8.ValidString(joined) {
		t.Error("a character is cut in two")
	}
	if got[1] == long || !strings.HasPrefix(long, strings.TrimSuffix(got[1], scrub.Mask)) ||
		len(got[1]) > 20_000 {
		t.Errorf("the long argument has now %d bytes, of %d", len(got[1]), len(long))
	}
	if got[2] != innocent || got[3] != scrub.Mask || got[4] != "postgres://u:"+scrub.Mask+"@"+
		innocent || got[5] != scrub.Mask {
		t.Errorf("after the bound: %.20q %q %.30q %q", got[2], got[3], got[4], got[5])
	}
	if got := scrub.Args(
		[]string{"app", "-" + strings.Repeat("a", 5000) + "password=hunter2"}); strings.Contains(
		got[1], secret) {
		t.Error("a long key leaves its secret")
	}
}

func TestExtraWords(t *testing.T) {
	s, err := scrub.New("pin", "*session_id*")
	if err != nil {
		t.Fatal(err)
	}
	got := s.Args([]string{"app", "--pin", "1", "--pinned", "2", "--old-session-id=3",
		"--password=4"})
	want := []string{"app", "--pin", scrub.Mask, "--pinned", "2", "--old-session-id=" + scrub.Mask,
		"--password=" + scrub.Mask}
	if !slices.Equal(got, want) {
		t.Errorf("Args = %q; want %q", got, want)
	}
	s, err = scrub.New("fine", "", "*", "a b", "x(", "-_-")
	if err == nil || s != nil {
		t.Fatalf("New = %v, %v; want an error", s, err)
	}
	for _, word := range []string{`""`, `"*"`, `"a b"`, `"x("`, `"-_-"`} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("error %q does not name %s", err, word)
		}
	}
}

func TestStrip(t *testing.T) {
	if got := scrub.Strip([]string{"app", "a", "b"}); !slices.Equal(got, []string{"app"}) {
		t.Errorf("Strip = %q", got)
	}
	if got := scrub.Strip(nil); len(got) != 0 {
		t.Errorf("Strip(nil) = %q", got)
	}
}

func ExampleArgs() {
	fmt.Println(
		scrub.Args([]string{"backup", "--to", "ftp://bob:hunter2@files/", "--api-key", "0a1b"}))
	// Output: [backup --to ftp://bob:********@files/ --api-key ********]
}

// FuzzArgs checks that arguments keep their number, that scrubbing twice is scrubbing once (of
// command lines within the bound), that the input is left alone, and that a secret planted in any
// surroundings is gone.
func FuzzArgs(f *testing.F) {
	f.Add("app", "--x=1", "y")
	f.Add(`sh -c "a`, `password: "b`, `c" d`)
	f.Add("a://b:c@d", "--password", "--secret=x y")
	f.Add("-", "'", "=:$")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		in := []string{a, b, c}
		got := scrub.Args(in)
		if len(got) != 3 || in[0] != a || in[1] != b || in[2] != c {
			t.Fatalf("Args(%q) = %q, and the input is now %q", []string{a, b, c}, got, in)
		}
		if again := scrub.Args(got); len(a+b+c) < 1000 && !slices.Equal(again, got) {
			t.Fatalf("Args(%q) = %q, and again %q", in, got, again)
		}
		for _, planted := range [][]string{
			{a, "--password=Zq9" + b + "Zq9", c},
			{a, "--password", "Zq9"},
			{a, "x --api-key Zq9 " + c},
			{a, "p://u:Zq9@h", c},
		} {
			if strings.Contains(a+b+c, "Zq9") {
				break
			}
			if got := scrub.Args(planted); strings.Contains(strings.Join(got, "\x00"), "Zq9") {
				t.Fatalf("Args(%q) = %q", planted, got)
			}
		}
	})
}

func BenchmarkArgs(b *testing.B) {
	args := []string{
		"java", "-Xmx512m", "-XX:+UseG1GC", "-Dfile.encoding=UTF-8", "-cp",
		"/app/lib/a.jar:/app/lib/b.jar",
		"-Dspring.profiles.active=prod", "com.example.Main", "--server.port=8080",
		"--db=jdbc:postgresql://db/shop",
	}
	b.ReportAllocs()
	for b.Loop() {
		scrub.Args(args)
	}
}

// BenchmarkArgsLong is the worst case that the package's doc gives.
func BenchmarkArgsLong(b *testing.B) {
	args := []string{"app", strings.Repeat("x --password y ", 100_000)}
	b.ReportAllocs()
	for b.Loop() {
		scrub.Args(args)
	}
}
