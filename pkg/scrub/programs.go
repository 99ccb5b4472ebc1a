package scrub

import (
	"regexp"
	"strings"
)

// program is one whose flags take secrets though they are not named so.
type program struct {
	command string         // the flags are those of this command of it; "" = of all
	alone   *regexp.Regexp // a flag whose value is the next argument; nil: there is none
	glued   *regexp.Regexp // what a value is glued to
	name    *regexp.Regexp // the program in a longer text
	inside  *regexp.Regexp // such a flag and its value there
}

// programs are the programs by their names.
var programs, programNames = func() (map[string]*program, []string) {
	all := map[string]*program{}
	var names []string
	for _, p := range []struct{ names, alone, glued, command string }{
		{"sshpass", `-p`, `-p`, ""},
		{"docker podman nerdctl buildah skopeo oras crane regctl singularity apptainer helm az oc " +
			"cf", `-p`, `-p`, "login"},
		{"ctr", `-u|--user`, `-u|--user=`, "pull"},
		{"curl", `-[a-zA-Z]*[uU]|--user|--proxy-user`, `-[uU]|--user=|--proxy-user=`, ""},
		{"redis-cli", `-a`, `-a`, ""},
		{"ldapsearch ldapmodify ldapadd ldapdelete ldappasswd ldapwhoami", `-w`, `-w`, ""},
		{"smbclient", `-U|--user`, `-U|--user=`, ""},
		{"mysql mysqldump mysqladmin mysqlimport mysqlcheck mysqlshow " +
			"mariadb mariadb-dump mariadb-admin", "", `-p`, ""},
	} {
		words := strings.Fields(p.names)
		flags := p.glued
		command := ""
		if p.command != "" { // in the same command of a shell
			command = `(?:[^;&|\n]*?[\s,"'])?` + p.command + `["']?[\s,]`
		}
		compiled := &program{
			command: p.command,
			glued:   regexp.MustCompile(`^(?:` + p.glued + `)`),
			name: regexp.MustCompile(`(?:^|[\s/"'(;&|])(?:` + strings.Join(words, "|") +
				`)["']?[\s,]` + command),
		}
		if p.alone != "" {
			compiled.alone = regexp.MustCompile(`^(?:` + p.alone + `)$`)
			flags = `(?:` + p.alone + `)["']?[\s,]+|` + flags
		}
		compiled.inside = regexp.MustCompile(`([\s"',](?:` + flags + `))` + value)
		for _, name := range words {
			all[name] = compiled
		}
		names = append(names, words...)
	}
	return all, names
}()

// programOf returns the program that an argument names, by its path or not, or nil.
func programOf(arg string) *program {
	return programs[arg[strings.LastIndexByte(arg, '/')+1:]]
}

// flag reports whether the next argument is a secret, and otherwise what stands before
// the secret that is in this one.
func (p *program) flag(arg string) (next bool, before string) {
	if p == nil || !strings.HasPrefix(arg, "-") {
		return false, ""
	}
	if p.alone != nil && p.alone.MatchString(arg) {
		return true, ""
	}
	if before := p.glued.FindString(arg); before != arg {
		return false, before
	}
	return false, ""
}

// maskPrograms masks the values of such flags in a text with whole commands.
func maskPrograms(arg string) string {
	if !strings.ContainsAny(arg, " \t\n,") {
		return arg
	}
	var done *program
	for _, name := range programNames {
		if p := programs[name]; p != done && strings.Contains(arg, name) {
			done = p
			arg = p.mask(arg)
		}
	}
	return arg
}

// nextCommand is what a shell has between commands; URLs have these characters, too, but
// no blank after them.
var nextCommand = regexp.MustCompile(`(?:&&|[;|])\s`)

func (p *program) mask(arg string) string {
	var b strings.Builder
	for {
		at := p.name.FindStringIndex(arg)
		if at == nil {
			b.WriteString(arg)
			return b.String()
		}
		begin := at[1] - 1 // the blank belongs to the first flag
		end := len(arg)
		if next := nextCommand.FindStringIndex(arg[begin:]); next != nil {
			end = begin + next[0]
		}
		b.WriteString(arg[:begin])
		b.WriteString(p.inside.ReplaceAllString(arg[begin:end], "${1}"+Mask))
		arg = arg[end:]
	}
}
