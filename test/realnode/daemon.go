package realnode

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	// readyWithin bounds a daemon's start. It takes about a second; the rest is for loaded
	// machines.
	readyWithin = time.Minute
	// stopGrace is how long a daemon may take to end after SIGTERM before it gets SIGKILL.
	stopGrace = 30 * time.Second
	// goneWithin bounds what takes the kernel a moment, as ending what was killed.
	goneWithin = 30 * time.Second
	// logTail is how much of a daemon's log an error carries, in bytes.
	logTail = 4096
)

// Daemon is one daemon process that can be killed, frozen and started again. Its methods may be
// called from several goroutines. A method that returns no error fails the test that the daemon was
// started for; on a daemon that was started without a test it panics.
type Daemon struct {
	p  *process
	tb testing.TB
}

// process is what the handles of one daemon share.
type process struct {
	name  string
	argv  []string
	dir   string // the instance's folder, and the process's working directory
	env   []string
	ready func(context.Context) error
	stale []string // what a killed daemon leaves and the next one would trip over

	mu     sync.Mutex // guards the fields below and is held during a start or a stop
	cmd    *exec.Cmd  // nil when no process runs
	exited chan struct{}
	frozen bool
}

// Pid returns the process id, or 0 when the daemon does not run.
func (d Daemon) Pid() int {
	d.p.mu.Lock()
	defer d.p.mu.Unlock()
	if !d.p.alive() {
		return 0
	}
	return d.p.cmd.Process.Pid
}

// LogFile returns the path of the file that holds everything the daemon has printed.
func (d Daemon) LogFile() string { return d.p.logFile() }

// Kill ends this daemon with SIGKILL and waits for it. Its containers go on running.
func (d Daemon) Kill() { d.must(d.p.stop(0)) }

// Stop ends this daemon with SIGTERM, or with SIGKILL when it has not ended after a grace time.
func (d Daemon) Stop() { d.must(d.p.stop(stopGrace)) }

// Restart stops the daemon if it runs, starts it on the same folders, and waits until it answers.
func (d Daemon) Restart() {
	d.must(d.p.stop(stopGrace))
	d.must(d.p.start())
}

// Freeze suspends the daemon (SIGSTOP): connections stay open and nothing is answered.
func (d Daemon) Freeze() { d.must(d.p.freeze(true)) }

// Thaw lets a frozen daemon go on (SIGCONT).
func (d Daemon) Thaw() { d.must(d.p.freeze(false)) }

func (d Daemon) must(err error) {
	if err == nil {
		return
	}
	if d.tb == nil {
		panic("realnode: " + err.Error() + " (use For to bind the daemon to a test)")
	}
	d.tb.Helper()
	d.tb.Fatalf("realnode: %v", err)
}

func (p *process) logFile() string { return filepath.Join(p.dir, p.name+".log") }

// alive says whether there is a process. The caller holds p.mu.
func (p *process) alive() bool {
	if p.cmd == nil {
		return false
	}
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// start runs the daemon and waits until it is ready. On error nothing is left running.
func (p *process) start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.alive() {
		return fmt.Errorf("start %s: it runs already as process %d", p.name, p.cmd.Process.Pid)
	}
	if err := removeIfThere(p.stale...); err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	log, err := os.OpenFile(p.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	defer log.Close() // the child has its own descriptor
	cmd := exec.Command(p.argv[0], p.argv[1:]...)
	cmd.Dir = p.dir
	cmd.Env = append(daemonEnv(p.dir), p.env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = dieWithParent()

	// The kernel ties "die with the parent" to the thread that started the child, so this
	// goroutine keeps its thread until the child has ended.
	started, exited := make(chan error, 1), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(exited)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is in its log
		}
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	p.cmd, p.exited, p.frozen = cmd, exited, false
	if err := p.waitReady(); err != nil {
		return errors.Join(err, p.stopLocked(0))
	}
	return nil
}

func (p *process) waitReady() error {
	ctx, cancel := context.WithTimeout(context.Background(), readyWithin)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := p.ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.exited:
			return fmt.Errorf("start %s: it exited (%v); its log ends:\n%s", p.name,
				p.cmd.ProcessState, p.tail())
		case <-ctx.Done():
			return fmt.Errorf("start %s: not ready after %v: %w; its log ends:\n%s", p.name,
				readyWithin, err, p.tail())
		case <-tick.C:
		}
	}
}

// stop ends the process, if there is one, and waits for it. A grace of zero means SIGKILL at once.
func (p *process) stop(grace time.Duration) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stopLocked(grace)
}

func (p *process) stopLocked(grace time.Duration) error {
	if !p.alive() {
		p.cmd = nil
		return nil
	}
	if grace > 0 {
		if err := terminate(p.cmd.Process, p.frozen); err != nil &&
			!errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("stop %s: %w", p.name, err)
		}
		select {
		case <-p.exited:
		case <-time.After(grace):
		}
	}
	if p.alive() {
		if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("kill %s: %w", p.name, err)
		}
		<-p.exited
	}
	p.cmd, p.frozen = nil, false
	return nil
}

func (p *process) freeze(on bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.alive() {
		return fmt.Errorf("freeze or thaw %s: it does not run", p.name)
	}
	if err := suspend(p.cmd.Process, on); err != nil {
		return fmt.Errorf("freeze or thaw %s: %w", p.name, err)
	}
	p.frozen = on
	return nil
}

// tail returns the end of the daemon's log.
func (p *process) tail() string {
	content, err := os.ReadFile(p.logFile())
	if err != nil {
		return err.Error()
	}
	return string(content[max(0, len(content)-logTail):])
}

// daemonEnv is the environment of an instance's processes: the caller's, with the sbin folders in
// PATH, and without what would lead a daemon or client to the user's own daemons and configuration.
// A daemon finds the programs that it calls itself, such as shims and runc, in PATH.
func daemonEnv(dir string) []string {
	var env []string
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, "DOCKER_") || strings.HasPrefix(name, "CONTAINER") ||
			name == "NOTIFY_SOCKET" {
			continue
		}
		env = append(env, entry)
	}
	path := os.Getenv("PATH") + ":/usr/local/sbin:/usr/sbin:/sbin"
	if dir := os.Getenv(ProgramsEnv); dir != "" {
		path = dir + ":" + path
	}
	return append(env,
		"PATH="+path,
		"DOCKER_CONFIG="+filepath.Join(dir, "client"),
		// what ctr prints is what the container printed
		"CONTAINERD_SUPPRESS_DEPRECATION_WARNINGS=1",
	)
}

// output runs a client program and returns what it printed. The error carries stderr.
func output(ctx context.Context, dir, stdin string, argv ...string) (stdout, stderr string,
	err error) {
	return outputEnv(ctx, daemonEnv(dir), stdin, argv...)
}

func outputEnv(ctx context.Context, env []string, stdin string, argv ...string) (stdout,
	stderr string, err error) {
	path, err := program(argv[0])
	if err != nil {
		return "", "", err
	}
	cmd := exec.CommandContext(ctx, path, argv[1:]...)
	cmd.Env = env
	cmd.WaitDelay = goneWithin // for what it has printed
	var out, errOut strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if stdin != "" {
		cmd.Stdin = strings.NewReader(stdin)
	}
	if err := cmd.Run(); err != nil {
		return out.String(), errOut.String(),
			fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err,
				strings.TrimSpace(errOut.String()))
	}
	return out.String(), errOut.String(), nil
}
