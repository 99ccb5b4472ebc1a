// Package scrub takes secrets out of command lines.
//
// A value is a secret because of the word before it (--password x, API_KEY=x, "password": "x",
// ["--password", "x"], Authorization: Bearer x), because of its place in a URL or a data source
// name (scheme://user:x@host, https://x@host, user:x@tcp(host)), or because of the program, or its
// command, whose flag it follows (curl -u user:x, docker login -p x). It is replaced by [Mask];
// nothing else changes, and the number of arguments stays.
//
// In doubt more is hidden than needed: an argument that begins with a secret's
// key is masked to its end, and whatever follows a flag that is named like a
// secret is taken for its value. A secret without a telling word cannot be
// recognised; where that is not enough, [Strip] drops all arguments.
//
// Command lines may have megabytes, so the search for keys is bounded: after
// 16 KiB of arguments that contain a telling word, the rest of each further one
// is masked unread. The worst case is then about 50 ms on a small machine,
// where a full search takes 3 µs a byte (BenchmarkArgsLong). URLs are searched
// throughout, at less than a tenth of that.
package scrub

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Mask stands where a secret was.
const Mask = "********"

// defaultWords are the names of secrets. A "*" is any run of characters that
// can be part of a key; "_" also matches "-", "." and nothing, so that
// "api_key" covers --api-key and apikey.
var defaultWords = []string{
	"*password*", "*passwd*", "*mysql_pwd*", "*access_token*", "*auth_token*",
	"*api_key*", "*apikey*", "*secret*", "*credential*", "stripetoken",
	"*token", "*tokens", "*pwd", "*passphrase*", "*private_key*", "*access_key*",
	"*account_key", "*encryption_key*", "*signing_key*", "*master_key*", "*signature",
	"requirepass", "pgpass", "pass", "passin", "passout",
	"*bearer", "jwt", "creds", "*_creds",
}

// separatedPass matches DB_PASS, db.pass and dbPass, but neither bypass nor
// compass, which no word can tell apart.
const separatedPass = keyChar + `*(?:[_.\-]pass|(?-i:[a-z0-9]Pass))`

const (
	// maxSearch bounds, in bytes of one command line, what is searched with
	// regular expressions for keys.
	maxSearch = 16 << 10
	// maxFlag is the length in bytes of the longest flag recognised as a key.
	maxFlag = 1 << 10
)

const (
	// keyChar may be part of a key.
	keyChar = `[^\s=:$/"'?&;,|(){}\[\]<>` + "`" + `]`
	// keyStart may come before one.
	keyStart = `(?:^|[\s=:$"'?&;,|({\[` + "`" + `]|-)`
	// value is what follows one inside a longer text: quoted, or up to a blank.
	value = `(?:"[^"]*"?|'[^']*'?|\\+"(?:[^"\\]|\\[^"])*(?:\\+")?|\S)\S*`
	// quote may be escaped, in JSON within JSON.
	quote = `\\*["']`
	// header is a line of HTTP whose value has blanks.
	header = `(?:[a-z\-]*authorization|[a-z\-]*cookie2?)`
)

// headers find the value of such a line: to the quote that closes the line, to
// the one that closes the value, or to the end.
var headers = []*regexp.Regexp{
	regexp.MustCompile(`(?i)("` + header + `\s*:\s*)(?:[^"\\]|\\.)+`),
	regexp.MustCompile(`(?i)('` + header + `\s*:\s*)[^']+`),
	regexp.MustCompile(`(?i)((?:` + keyStart + header + `(?:` + quote + `)?\s*[:=]\s*|(?:^|\s)-+` +
		header + `\s+)(?:` + quote + `)?)[^"'\r\n]+`),
}

// bearer finds a token wherever its scheme stands before it.
var bearer = regexp.MustCompile(`(?i)(` + keyStart + `bearer\s+)[^\s"'*]\S*`)

// shortFlag and shortKey find words that are too short to be looked for anywhere but at the
// beginning of an argument: "path" and "ping" are everywhere.
var (
	shortFlag = regexp.MustCompile(`(?i)^-{1,2}(?:(?:[a-z0-9]+[_.\-])*pat|pin|auth)$`)
	shortKey  = regexp.MustCompile(`(?i)^-{0,2}(?:(?:[a-z0-9]+[_.\-])*pat|pin)=|^-{1,2}auth=`)
)

// userinfo finds the password in a URL. The part before "@" ends at the last
// one, because people do not escape it in passwords; nor do they escape "/", "?"
// and "#", so that the second form looks for an "@" behind these. There, what
// begins like a port is one: http://host:8080/@scope/package has no password.
var userinfo = regexp.MustCompile(
	`([a-zA-Z][a-zA-Z0-9+.\-]*://[^\s/?#:@"'\[]*:)(?:[^\s/?#]+|[0-9]*[^0-9\s/?#]\S*)@`)

// urlToken finds a user without a password, or with one that says that the user is the
// secret: those of HTTP are tokens.
var urlToken = regexp.MustCompile(
	`(?i)(https?://)[^\s/?#:@"'\[]+((?::(?:x-oauth-basic)?)?@)`)

// dataSource finds the password in the names that Go's database drivers use.
var dataSource = regexp.MustCompile(`([^\s/:@"'=]+:)[^\s"']+(@(?:tcp|udp|unix)\()`)

// defaultScrubber is immutable.
var defaultScrubber = must(New())

// Args is [Scrubber.Args] with the default words.
func Args(args []string) []string { return defaultScrubber.Args(args) }

// Strip returns args without anything but the program, for those who want no
// argument to be kept at all. It does not copy.
func Strip(args []string) []string { return args[:min(len(args), 1)] }

// Scrubber recognises secrets by a list of words. It is immutable and safe for
// concurrent use. Create one with [New].
type Scrubber struct {
	cores  []string       // lower-case text without which no word can match
	flag   *regexp.Regexp // a whole argument that is a flag and a secret's key
	whole  *regexp.Regexp // the key and the delimiter that begin an argument
	inside *regexp.Regexp // key, delimiter and value inside an argument
	form   *regexp.Regexp // flag and value as items of a list inside an argument
}

// New returns a scrubber for the default words and extra ones of the same kind:
// letters of any case, digits, "_", "-", "." and the wildcard "*". Every other
// word is reported in the error, quoted.
func New(extra ...string) (*Scrubber, error) {
	s := &Scrubber{cores: []string{"authorization", "cookie"}}
	var patterns []string
	var errs []error
	for _, word := range slices.Concat(defaultWords, extra) {
		core := longestLiteral(word)
		if core == "" || !validWord.MatchString(word) {
			errs = append(errs,
				fmt.Errorf(
					"scrub word %q: want letters, digits, '_', '-', '.', and '*' as wildcard",
					word))
			continue
		}
		s.cores = append(s.cores, core)
		patterns = append(patterns, wordPattern(word))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	key := `(?:` + strings.Join(append(patterns, separatedPass), "|") + `)`
	withHeaders := `(?:` + key + `|` + header + `)`
	// A colon may have blanks around it (JSON, YAML, headers). So may "=", but only on
	// both sides, or "PASSWORD= command" would lose its command.
	delimiter := `(?:` + quote + `)?(?:\s*:\s*|\s+=\s*|=)`
	s.flag = regexp.MustCompile(`(?i)^-+` + withHeaders + `:?$`)
	s.whole = regexp.MustCompile(`(?i)^["']?[\-/]*` + withHeaders + delimiter)
	s.inside = regexp.MustCompile(`(?i)(` + keyStart + key + delimiter + `|(?:^|\s)-+` + key +
		`\s+(?:-\s+)?)` + value)
	s.form = regexp.MustCompile(`(?i)(` + quote + `-+` + key + quote + `\s*,?\s*)` + value)
	return s, nil
}

var validWord = regexp.MustCompile(`^[A-Za-z0-9_.*\-]+$`)

// separators are read as equal in words and dropped from cores.
const separators = "_-."

// longestLiteral returns the longest run of letters and digits in a word, in
// lower case.
func longestLiteral(word string) string {
	longest := ""
	for _, run := range strings.FieldsFunc(strings.ToLower(word), func(r rune) bool {
		return r == '*' || strings.ContainsRune(separators, r)
	}) {
		if len(run) > len(longest) {
			longest = run
		}
	}
	return longest
}

func wordPattern(word string) string {
	var b strings.Builder
	for _, r := range word {
		switch {
		case r == '*':
			b.WriteString(keyChar + `*`)
		case strings.ContainsRune(separators, r):
			b.WriteString(`[_.\-]?`)
		default:
			b.WriteString(regexp.QuoteMeta(string(r)))
		}
	}
	return b.String()
}

// Args returns the command line with its secrets masked: args itself if there
// are none, else a new slice. args is never written to.
func (s *Scrubber) Args(args []string) []string {
	out := args
	set := func(i int, arg string) {
		if arg == args[i] {
			return
		}
		if &out[0] == &args[0] {
			out = slices.Clone(args)
		}
		out[i] = arg
	}
	budget := maxSearch
	masked := false // the argument before was a flag that wants a secret
	var running, named *program
	for i, arg := range args {
		telling := s.mayMatch(arg)
		flag := len(arg) <= maxFlag &&
			(telling && s.flag.MatchString(arg) || shortFlag.MatchString(arg))
		short := shortKey.FindString(arg)
		if p := programOf(arg); p != nil {
			running, named = p, p
			if p.command != "" {
				running = nil // until its command is named
			}
		} else if named != nil && arg == named.command {
			running = named
		}
		ownFlag, glued := running.flag(arg)
		switch {
		case flag:
			// Also after another such flag, which then had no value.
		case masked && arg != "":
			set(i, Mask)
		case ownFlag:
			flag = true
		case glued != "":
			set(i, glued+Mask)
		case short != "" && short != arg:
			set(i, short+Mask)
		default:
			// Before the search, which may cut a URL in two.
			arg = maskPrograms(maskUserinfo(arg))
			if telling {
				arg = s.search(arg, &budget)
			}
			set(i, arg)
		}
		masked = flag
	}
	return out
}

func maskUserinfo(arg string) string {
	if strings.Contains(arg, "://") {
		arg = urlToken.ReplaceAllString(arg, "${1}"+Mask+"${2}")
		arg = userinfo.ReplaceAllString(arg, "${1}"+Mask+"@")
	}
	if strings.Contains(arg, "@tcp(") || strings.Contains(arg, "@udp(") ||
		strings.Contains(arg, "@unix(") {
		arg = dataSource.ReplaceAllString(arg, "${1}"+Mask+"${2}")
	}
	return arg
}

// search masks what follows keys in one argument and takes what it reads off
// the budget.
func (s *Scrubber) search(arg string, budget *int) string {
	rest := ""
	if len(arg) > *budget {
		cut := *budget
		for cut > 0 && !utf8.RuneStart(arg[cut]) {
			cut--
		}
		arg, rest = arg[:cut], Mask
	}
	*budget -= len(arg)
	if end := s.whole.FindStringIndex(arg); end != nil {
		if end[1] == len(arg) {
			return arg + rest
		}
		return arg[:end[1]] + Mask
	}
	for _, re := range headers {
		arg = re.ReplaceAllString(arg, "${1}"+Mask)
	}
	arg = bearer.ReplaceAllString(arg, "${1}"+Mask)
	arg = s.form.ReplaceAllString(arg, "${1}"+Mask)
	return s.inside.ReplaceAllString(arg, "${1}"+Mask) + rest
}

// mayMatch is a cheap test that rules most arguments out.
func (s *Scrubber) mayMatch(arg string) bool {
	arg = strings.ToLower(arg)
	for _, core := range s.cores {
		if strings.Contains(arg, core) {
			return true
		}
	}
	return false
}

func must(s *Scrubber, err error) *Scrubber {
	if err != nil {
		panic(err)
	}
	return s
}
