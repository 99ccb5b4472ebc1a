//go:build !linux

package process

import (
	"errors"
	"fmt"
	"runtime"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

type noMachine struct{}

func newMachine(string) machine { return noMachine{} }

func (noMachine) Detect() workloadmeta.Detection {
	return workloadmeta.Detection{
		State: workloadmeta.Disabled, Cause: workloadmeta.CauseUnsupported,
		Reason: fmt.Sprintf("processes are collected on Linux, from /proc; this is %s",
			runtime.GOOS),
	}
}

func (noMachine) Open() (scan, error) {
	return nil, fmt.Errorf("read processes on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}
