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

		{[]string{"app", "--pass=hunter2"}, []string{"app", "--pass=" + m}},
		{[]string{"app", "--pass", "two hunter2"}, []string{"app", "--pass", m}},
		{[]string{"env", "DB_PASS=hunter2", "a.pass=hunter2", "db-pass:hunter2", "dbPass=hunter2"},
			[]string{"env", "DB_PASS=" + m, "a.pass=" + m, "db-pass:" + m, "dbPass=" + m}},
		{[]string{"curl", "-H", "Authorization: Bearer hunter2"}, []string{"curl", "-H", "Authorization: " + m}},
		{[]string{"git", "-c", "http.extraHeader=Authorization: Basic hunter2"}, []string{"git", "-c", "http.extraHeader=Authorization: " + m}},
		{[]string{"curl", "-H", "Proxy-Authorization: Digest a=\"b\", response=\"hunter2\""}, []string{"curl", "-H", "Proxy-Authorization: " + m}},
		{[]string{"curl", "-H", "Cookie: a=1; session=hunter2"}, []string{"curl", "-H", "Cookie: " + m}},
		{[]string{"sh", "-c", `curl -H "Authorization: Bearer hunter2" -H 'Cookie: a=1; s=hunter2' http://x`},
			[]string{"sh", "-c", `curl -H "Authorization: ` + m + `" -H 'Cookie: ` + m +
				`' http://x`}},
		{[]string{"sh", "-c", `curl -H 'Authorization: Digest a="b", response="hunter2"' http://x`},
			[]string{"sh", "-c", `curl -H 'Authorization: ` + m + `' http://x`}},
		{[]string{"app", `{"Authorization": "Bearer hunter2", "x": 1}`}, []string{"app", `{"Authorization": "` + m + `", "x": 1}`}},
		{[]string{"app", `{\"Authorization\": \"Bearer hunter2\"}`}, []string{"app", `{\"Authorization\": \"` + m + `"}`}},
		{[]string{"app", "--auth", "Bearer hunter2"}, []string{"app", "--auth", m}},
		{[]string{"app", "--bearer", "hunter2", "--cookie=hunter2"}, []string{"app", "--bearer", m, "--cookie=" + m}},
		{[]string{"sshpass", "-p", "hunter2", "ssh", "-p", "22"}, []string{"sshpass", "-p", m, "ssh", "-p", m}},
		{[]string{"docker", "login", "-u", "me", "-p", "hunter2", "registry"}, []string{"docker", "login", "-u", "me", "-p", m, "registry"}},
		{[]string{"regctl", "registry", "login", "-p", "hunter2", "r"}, []string{"regctl", "registry", "login", "-p", m, "r"}},
		{[]string{"ctr", "images", "pull", "-u", "me:hunter2", "r/x"}, []string{"ctr", "images", "pull", "-u", m, "r/x"}},
		{[]string{"skopeo", "copy", "--src-creds", "me:hunter2", "--dest-creds=me:hunter2", "a"}, []string{"skopeo", "copy", "--src-creds", m, "--dest-creds=" + m, "a"}},
		{[]string{"crictl", "pull", "--creds", "me:hunter2", "x"}, []string{"crictl", "pull", "--creds", m, "x"}},
		{[]string{"helm", "registry", "login", "-phunter2"}, []string{"helm", "registry", "login", "-p" + m}},
		{[]string{"sh", "-c", "podman --log-level x login -p hunter2 r && docker run -p 80:80 x"}, []string{"sh", "-c", "podman --log-level x login -p " + m + " r && docker run -p 80:80 x"}},
		{[]string{"app", "--pat=hunter2", "pin=hunter2", "--github-pat", "hunter2"}, []string{"app", "--pat=" + m, "pin=" + m, "--github-pat", m}},
		{[]string{"app", "--auth=hunter2", "--auth-token", "hunter2", "--PIN", "hunter2"}, []string{"app", "--auth=" + m, "--auth-token", m, "--PIN", m}},
		{[]string{"env", "GITHUB_PAT=hunter2", "app"}, []string{"env", "GITHUB_PAT=" + m, "app"}},
		{[]string{"sudo", "/usr/bin/sshpass", "-phunter2", "ssh"}, []string{"sudo", "/usr/bin/sshpass", "-p" + m, "ssh"}},
		{[]string{"curl", "-u", "user:hunter2", "http://x"}, []string{"curl", "-u", m, "http://x"}},
		{[]string{"curl", "-su", "user:hunter2", "--proxy-user=a:hunter2"}, []string{"curl", "-su", m, "--proxy-user=" + m}},
		{[]string{"sh", "-c", "cd /x && curl -s -u user:hunter2 http://x; ls -u y"}, []string{"sh", "-c", "cd /x && curl -s -u " + m + " http://x; ls -u y"}},
		{[]string{"mysql", "-phunter2", "-P3306", "shop"}, []string{"mysql", "-p" + m, "-P3306", "shop"}},
		{[]string{"sh", "-c", "mysqldump -u root -phunter2 shop"}, []string{"sh", "-c", "mysqldump -u root -p" + m + " shop"}},
		{[]string{"app", `["mysql","-phunter2"]`}, []string{"app", `["mysql","-p` + m}},
		{[]string{"app", `["curl","-u","a:hunter2","http://x"]`}, []string{"app", `["curl","-u",` + m}},
		{[]string{"curl", "-XPUT", "-u", "a:hunter2", "-ua:hunter2"}, []string{"curl", "-XPUT", "-u", m, "-u" + m}},
		{[]string{"sh", "-c", "curl -XPUT -u a:hunter2 -U a:hunter2 -XPUT x | curl --user=b:hunter2"},
			[]string{"sh", "-c", "curl -XPUT -u " + m + " -U " + m + " -XPUT x | curl --user=" +
				m}},
		{[]string{"sh", "-c", `curl "http://x?a=1&b=2;c" -u a:hunter2`}, []string{"sh", "-c", `curl "http://x?a=1&b=2;c" -u ` + m}},
		{[]string{"redis-cli", "-a", "hunter2", "ping"}, []string{"redis-cli", "-a", m, "ping"}},
		{[]string{"openssl", "rsa", "-passin", "pass:hunter2"}, []string{"openssl", "rsa", "-passin", m}},
		{[]string{"openssl", "enc", "-pass", "pass:hunter2", "-k"}, []string{"openssl", "enc", "-pass", m, "-k"}},
		{[]string{"openssl", "pass:hunter2"}, []string{"openssl", "pass:" + m}},
		{[]string{"app", "--access-key=hunter2", "--credential=hunter2", "--tokens=hunter2"},
			[]string{"app", "--access-key=" + m, "--credential=" + m, "--tokens=" + m}},
		{[]string{"app", "Server=x;Password = hunter2"}, []string{"app", "Server=x;Password = " + m}},
		{[]string{"app", "Password = hunter2"}, []string{"app", "Password = " + m}},
		{[]string{"sh", "-c", `app ["--password","hunter2"]`}, []string{"sh", "-c", `app ["--password",` + m}},
		{[]string{"app", `{"args":["--password","hunter2"]}`}, []string{"app", `{"args":["--password",` + m}},
		{[]string{"app", `{"args":["--password", "a hunter2", "-v"]}`}, []string{"app", `{"args":["--password", ` + m + ` "-v"]}`}},
		{[]string{"app", `{\"args\":[\"--password\",\"a hunter2\"]}`}, []string{"app", `{\"args\":[\"--password\",` + m}},
		{[]string{"app", "args:\n- --password\n- hunter2\n- x"}, []string{"app", "args:\n- --password\n- " + m + "\n- x"}},
		{[]string{"app", "https://hunter2@github.com/x"}, []string{"app", "https://" + m + "@github.com/x"}},
		{[]string{"app", "git+https://hunter2:x-oauth-basic@github.com/x", "https://hunter2:@h"},
			[]string{"app", "git+https://" + m + ":" + m + "@github.com/x",
				"https://" + m + ":@h"}},
		{[]string{"app", "--dsn", "user:hunter2@tcp(db:3306)/x"}, []string{"app", "--dsn", "user:" + m + "@tcp(db:3306)/x"}},
		{[]string{"app", "--dsn=user:hunter2@unix(/run/db)/x"}, []string{"app", "--dsn=user:" + m + "@unix(/run/db)/x"}},
		{[]string{"az", "AccountKey=hunter2", "https://h/x?sv=1&X-Amz-Signature=hunter2"}, []string{"az", "AccountKey=" + m, "https://h/x?sv=1&X-Amz-Signature=" + m}},
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
		{"mysql", "-p", "shop"},
		{"app", "-pX", "-u", "me"},
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
		{"app", "--api", "key"},
		{"app", "--bypass", "cache", "--compass=north", "BYPASS=1", "mountpass", "x"},
		{"app", "--authorization-mode=RBAC", "--passenger", "x"},
		{"ssh", "ssh://git@github.com/org/repo", "git+ssh://git@host/x"},
		{"docker", "run", "reg/app:1@sha256:ab", "user:x@host"},
		{"docker", "run", "-p", "8080:80", "-p", "127.0.0.1:81:81", "login"},
		{"sh", "-c", "docker run -p 8080:80 x; app login -p 80"},
		{"ssh", "-p", "22", "login"},
		{"app", "--path=/x", "--compat=1", "--pinning=cpu", "--pin=", "spin=1", "PATH=/bin"},
		{"app", "--authors", "me", "--no-auth", "x", "auth", "pin", "pat"},
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
	f.Add(`-H "Cookie: a`, `curl -u x`, `bearer b`)
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
			{a, "Authorization: Bearer Zq9" + b + "Zq9", c},
			{a, `x ["--password", "Zq9"] ` + c},
			{"curl", "-u", "Zq9", c},
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
