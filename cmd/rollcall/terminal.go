package main

import (
	"io"
	"os"

	"golang.org/x/term"
)

// terminalWidth returns the width of the terminal behind w; 0 if it is none.
func terminalWidth(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil || width <= 0 {
		return 80 // a terminal that does not know its own size
	}
	return width
}

func isTerminal(w io.Writer) bool { return terminalWidth(w) > 0 }

// color reports whether the output is coloured.
func (a *app) color() bool {
	switch {
	case a.noColor || a.colorArg == "never":
		return false
	case a.colorArg == "always":
		return true
	}
	return isTerminal(a.out) && a.getenv("NO_COLOR") == "" && a.getenv("TERM") != "dumb"
}
