package process

import (
	"path"
	"slices"
	"strings"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/pkg/proc"
	"github.com/rollcall-dev/rollcall/pkg/proclang"
	"github.com/rollcall-dev/rollcall/pkg/scrub"
)

// maxCmdline bounds what is kept of one command line, in bytes, of which an empty
// argument takes argSize. A process may write a megabyte there; Java's class paths have
// some thousands and the interesting part behind them.
const (
	maxCmdline = 16 << 10
	argSize    = 16
)

// cut ends a command line of which not everything is kept.
const cut = "…"

// maxComm is the longest name the kernel keeps (TASK_COMM_LEN less the final zero).
const maxComm = 15

// cmdline returns the arguments as they may be stored.
func (c *Collector) cmdline(d details) []string {
	if len(d.args) == 0 {
		return nil
	}
	// More than this will not be kept, whatever is masked: no secret is recognised by what
	// comes that far behind it.
	args := c.scrubber.Args(limit(d.args, 4*maxCmdline))
	if c.opts.StripArgs {
		args = scrub.Strip(args)
		// A process that sets its title writes program and arguments into one string.
		if program, _, titled := strings.Cut(args[0], " "); titled && args[0] != executable(d.exe) {
			args = []string{program}
		}
	}
	args = limit(args, maxCmdline)
	// Copies: what procfs returns are parts of one string, with all secrets.
	out := make([]string, len(args))
	for i, arg := range args {
		out[i] = strings.Clone(valid(arg))
	}
	return out
}

// limit returns the arguments that fit, and a cut one if they do not all.
func limit(args []string, size int) []string {
	for i, arg := range args {
		if size -= len(arg) + argSize; size >= 0 {
			continue
		}
		keep := size + len(arg) - len(cut)
		if keep < 0 {
			return append(slices.Clone(args[:i]), cut)
		}
		return append(slices.Clone(args[:i]), arg[:keep]+cut)
	}
	return args
}

// valid replaces what is not UTF-8: a process may call itself anything, while JSON and
// protocol buffers hold text.
func valid(s string) string { return strings.ToValidUTF8(s, "�") }

// executable is the path in an exe link without the remark that the file has been
// replaced since: a process that was started before an upgrade and one that was started
// after it run the same program to whoever looks for it by name.
func executable(link string) string { return valid(strings.TrimSuffix(link, " (deleted)")) }

// programName is the kernel's name, or the whole one if that is cut off and the
// command line or the executable's path begins with it.
func programName(e *workloadmeta.Process) string {
	if len(e.Comm) < maxComm {
		return e.Comm
	}
	if len(e.Cmdline) > 0 {
		// Not path.Base: what follows the program in a title may have slashes, too.
		program, _, _ := strings.Cut(e.Cmdline[0], " ")
		if name := path.Base(program); strings.HasPrefix(name, e.Comm) {
			return name
		}
	}
	if name := path.Base(e.Exe); strings.HasPrefix(name, e.Comm) {
		return name
	}
	return e.Comm
}

// language tells the language of a process: by its names, else by a look into its
// executable. It works on the command line as it is, because options after the program
// may tell, and keeps nothing of it.
func (p *pass) language(r *record, e *workloadmeta.Process,
	d details) *workloadmeta.ProcessLanguage {
	l := proclang.Detect(proclang.Process{Comm: r.comm, Exe: e.Exe, Args: d.args})
	if l.Name == "" {
		// The same program as at the last look?
		if !r.unread && !r.goUnread && e.Exe == r.entity.Exe {
			return r.entity.Language
		}
		l = p.lookForGo(r)
	}
	if l.Name == "" {
		return nil
	}
	return &workloadmeta.ProcessLanguage{Name: l.Name, Version: l.Version}
}

// lookForGo opens the executable if there is budget left, else later.
func (p *pass) lookForGo(r *record) proclang.Language {
	if p.opts.NoExecutables {
		return proclang.Language{}
	}
	if r.goUnread = p.goLooks == 0; r.goUnread {
		return proclang.Language{}
	}
	p.goLooks--
	l, err := p.golang.Detect(p.Exe(r.entity.PID))
	if proc.IsDenied(err) {
		p.once("exe",
			"may not open executables of other users, so that Go programs among them are not recognised; "+
				"run as root or with CAP_SYS_PTRACE", "error", err)
	}
	return l // an executable that cannot be read says nothing
}
