//go:build !linux

package realnode

import (
	"errors"
	"os"
	"syscall"
)

// The daemons run on Linux only. These let tests that can skip compile everywhere.

var errLinuxOnly = errors.New("real daemons run on linux only")

func endLeftovers(string) error             { return nil }
func podmanGroups(string) []string          { return nil }
func removeGroups([]string) error           { return nil }
func makeGroups(string) error               { return errLinuxOnly }
func ownFolder(string) bool                 { return false }
func startTime(int) string                  { return "" }
func dieWithParent() *syscall.SysProcAttr   { return nil }
func terminate(p *os.Process, _ bool) error { return p.Kill() }
func suspend(_ *os.Process, _ bool) error   { return errLinuxOnly }
