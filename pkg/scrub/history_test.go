package scrub_test

import (
	"strings"
	"testing"

	"github.com/rollcall-dev/rollcall/pkg/scrub"
)

func TestHistory(t *testing.T) {
	const mask = scrub.Mask
	keep := func(name string) bool { return name == "DD_ENV" }
	for in, want := range map[string]string{
		"":                                    "",
		"COPY file:8b1c in /bin # buildkit":   "COPY file:8b1c in /bin # buildkit",
		"ENV DB=hunter2":                      "ENV DB=" + mask,
		"ENV DB=hunter2 and more DD_ENV=prod": "ENV DB=" + mask + " DD_ENV=prod",
		"ENV AUTH=Bearer aHVudGVyMg== DD_ENV=prod": "ENV AUTH=" + mask + " DD_ENV=prod",
		"ENV DD_ENV=a b DB=hunter2":                "ENV DD_ENV=a b DB=" + mask,
		"ENV DB hunter2":                           "ENV DB " + mask,
		"ENV DD_ENV prod":                          "ENV DD_ENV prod",
		"env DB=hunter2":                           "env DB=" + mask,
		"ARG DB=hunter2":                           "ARG DB=" + mask,
		"ARG DB":                                   "ARG DB",
		"/bin/sh -c #(nop)  ENV DB=hunter2":        "/bin/sh -c #(nop)  ENV DB=" + mask,
		"/bin/sh -c #(nop)  CMD [\"sh\"]":          "/bin/sh -c #(nop)  CMD [\"sh\"]",
		"|1 DB=hunter2 /bin/sh -c make":            "|1 DB=" + mask + " /bin/sh -c make",
		"RUN |2 DB=hunter2 or two DD_ENV=prod /bin/sh -c make # buildkit": "RUN |2 DB=" + mask +
			" DD_ENV=prod /bin/sh -c make # buildkit",
		"RUN |1 DB=/hunter2 /bin/bash -c make": "RUN |1 DB=" + mask +
			" /bin/bash -c make",
		`CMD ["app" "--password" "hunter2"]`:                                       `CMD ["app" "--password" ` + mask,
		`ENTRYPOINT ["app","--pass","hunter2"]`:                                    `ENTRYPOINT ["app","--pass",` + mask,
		`/bin/sh -c #(nop)  CMD ["app" "--token" "hunter2" "x"]`:                   `/bin/sh -c #(nop)  CMD ["app" "--token" ` + mask + ` "x"]`,
		`HEALTHCHECK &{["CMD" "curl" "-H" "Authorization: Bearer hunter2"] "5s"}`:  `HEALTHCHECK &{["CMD" "curl" "-H" "Authorization: ` + mask + `"] "5s"}`,
		`HEALTHCHECK &{["CMD-SHELL" "curl -u a:hunter2 http://x || exit 1"] "5s"}`: `HEALTHCHECK &{["CMD-SHELL" "curl -u ` + mask + ` http://x || exit 1"] "5s"}`,
		`CMD ["curl" "-u" "a:hunter2" "http://x"]`:                                 `CMD ["curl" "-u" ` + mask + ` "http://x"]`,
		"RUN |1 DB=hunter2": "RUN |1 DB=" + mask,
		"RUN |x DB_PASSWORD=hunter2": "RUN |x DB_PASSWORD=" +
			mask,
		"RUN /bin/sh -c curl --password hunter2 https://u:hunter2@x/y":      "RUN /bin/sh -c curl --password " + mask + " https://u:" + mask + "@x/y",
		"/bin/sh -c apt-get install -y curl && rm -rf /var/lib/apt/lists/*": "/bin/sh -c apt-get install -y curl && rm -rf /var/lib/apt/lists/*",
	} {
		if got := scrub.History(in, keep); got != want {
			t.Errorf("History(%q)\n got %q\nwant %q", in, got, want)
		}
	}
}

func FuzzHistory(f *testing.F) {
	f.Add("ENV A=%s B=c")
	f.Add("RUN |1 A=%s /bin/sh -c x")
	f.Fuzz(func(t *testing.T, text string) {
		scrub.History(text, func(string) bool { return false })
		const secret = "hunter2"
		for _, line := range []string{"ENV A=" + secret + " B=", "ARG A=" + secret + " B=",
			"|1 A=" + secret + " B="} {
			if strings.Contains(text, secret) {
				return
			}
			if got := scrub.History(line+text,
				func(string) bool { return false }); strings.Contains(got, secret) {
				t.Fatalf("History(%q) = %q", line+text, got)
			}
		}
	})
}
