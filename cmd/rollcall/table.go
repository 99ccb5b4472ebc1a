package main

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// table is text in columns.
type table struct {
	titles []string
	fixed  []bool // columns that are never cut short
	right  []bool // numbers
	favour int    // 1 + the column that keeps a third of the width while others can give; 0 = none
	rows   [][]string
	color  func(row, column int) string // escape sequence for a cell, "" for none; may be nil
}

const (
	gap      = 2 // blanks between columns
	minWidth = 8 // no column is cut shorter than this
)

// write writes the table. With a width the widest columns are cut until it fits; 0 cuts nothing.
func (t *table) write(w io.Writer, width int, color bool) error {
	widths := make([]int, len(t.titles))
	for c, title := range t.titles {
		widths[c] = utf8.RuneCountInString(title)
	}
	for r := range t.rows {
		for c := range t.rows[r] {
			t.rows[r][c] = clean(t.rows[r][c])
			widths[c] = max(widths[c], utf8.RuneCountInString(t.rows[r][c]))
		}
	}
	if width > 0 {
		t.fit(widths, width)
	}
	var b, line strings.Builder
	end := func() {
		b.WriteString(strings.TrimRight(line.String(), " "))
		b.WriteString("\n")
		line.Reset()
	}
	for c, title := range t.titles {
		t.cell(&line, c, widths, title, pick(color, bold))
	}
	end()
	for r, row := range t.rows {
		for c, text := range row {
			escape := ""
			if color && t.color != nil && text != "" {
				escape = t.color(r, c)
			}
			t.cell(&line, c, widths, text, escape)
		}
		end()
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func pick(on bool, s string) string {
	if on {
		return s
	}
	return ""
}

const (
	bold   = "\x1b[1m"
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	faint  = "\x1b[2m"
	reset  = "\x1b[0m"
)

// fit takes from the widest columns until the table is as wide as the terminal.
func (t *table) fit(widths []int, width int) {
	total := -gap
	for _, w := range widths {
		total += w + gap
	}
	for total > width {
		widest := t.widest(widths, width/3)
		if widest < 0 {
			widest = t.widest(widths, 0)
		}
		if widest < 0 {
			return
		}
		widths[widest]--
		total--
	}
}

// widest returns the widest column that may be cut, -1 if there is none. The favoured column may be
// cut only while it is wider than floor.
func (t *table) widest(widths []int, floor int) int {
	widest := -1
	for c, w := range widths {
		if c == t.favour-1 && w <= floor || len(t.fixed) > 0 && t.fixed[c] || w <= minWidth {
			continue
		}
		if widest < 0 || w > widths[widest] {
			widest = c
		}
	}
	return widest
}

func (t *table) cell(b *strings.Builder, c int, widths []int, text, escape string) {
	n := utf8.RuneCountInString(text)
	if n > widths[c] {
		text = string([]rune(text)[:widths[c]-1]) + "…"
		n = widths[c]
	}
	pad := strings.Repeat(" ", widths[c]-n)
	last := c == len(widths)-1
	if len(t.right) > 0 && t.right[c] {
		b.WriteString(pad)
		pad = ""
	}
	if escape != "" {
		text = escape + text + reset
	}
	b.WriteString(text)
	if !last {
		b.WriteString(pad)
		b.WriteString(strings.Repeat(" ", gap))
	}
}

// clean makes control characters visible: names and labels are written by anybody and must not
// steer the terminal.
func clean(text string) string {
	if !strings.ContainsFunc(text, isControl) && utf8.ValidString(text) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		switch {
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case isControl(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// isControl also takes in what changes the direction of text.
func isControl(r rune) bool {
	return r < 0x20 || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 &&
		r <= 0x2069
}
