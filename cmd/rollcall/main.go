// Command rollcall tells what runs on this machine and what tags its telemetry must carry.
//
// Every command works without an agent: it looks once, in this process, and answers. With --from
// it answers from a recording instead and touches nothing of the machine.
//
// Exit codes: 0 found, 1 error, 2 called wrongly, 3 not found. Answers go to the standard output;
// everything else is one line on the standard error, "rollcall: …".
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// version is set by the build.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() {
		<-ctx.Done()
		stop() // a second signal ends the process at once
	}()
	a := &app{out: os.Stdout, err: os.Stderr, environ: os.Environ()}
	os.Exit(a.run(ctx, os.Args[1:]))
}
