package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// table is text in columns.
type table struct {
	columns []tableColumn
	rows    [][]string
	color   func(row, column int) string // escape sequence for a cell, "" for none; may be nil
	oneLine func(row int) bool           // of rows that are cut and never go on; may be nil
}

// tableColumn says how a column looks, and what it gives up where there is no room.
type tableColumn struct {
	title string
	right bool // numbers
	fixed bool // never cut short
	cut   cut
	// loose columns push what is behind them aside in the rows in which they are long.
	loose bool
	// short, if set, is a shorter form of a cell.
	short func(string) string
	// least is the width that others have to give up theirs for, minWidth and the title at least.
	least int
	// rank: columns of a lower rank are cut first.
	rank int
	// spare columns are left out where there is no room: from 1 on if they are empty or say the
	// same in each row, from 2 on, the greatest first, if that is not enough.
	spare int
}

// cut says what of a text is left out where it does not fit.
type cut uint8

const (
	cutEnd   cut = iota
	cutFront     // of images and sources, whose ends differ
	cutNone      // go on in the next line
)

const (
	gap      = 2 // blanks between columns
	minWidth = 8 // no column is cut shorter than this
	// looseWidth is how wide loose columns are where nothing is cut.
	looseWidth = 80
)

// write writes the table. With a width columns are left out and cut until it fits; 0 does neither.
func (t *table) write(w io.Writer, width int, color bool) error {
	for r := range t.rows {
		for c := range t.rows[r] {
			t.rows[r][c] = clean(t.rows[r][c])
		}
	}
	layout := t.layout(width)
	var b strings.Builder
	titles := make([]string, len(t.columns))
	for c := range t.columns {
		titles[c] = t.columns[c].title
	}
	layout.title = true
	layout.line(&b, titles, true, func(int) string { return pick(color, bold) })
	layout.title = false
	for r, row := range t.rows {
		layout.line(&b, row, t.oneLine != nil && t.oneLine(r), func(c int) string {
			if !color || t.color == nil || row[c] == "" {
				return ""
			}
			return t.color(r, c)
		})
	}
	b.WriteString(layout.note)
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

// layout is where the cells of a table go.
type layout struct {
	columns []tableColumn
	shown   []int // columns, in order
	widths  []int // by column
	short   bool  // cells have their shorter form
	loose   bool  // nothing is cut
	title   bool  // the line is that of the titles
	note    string
}

// layout finds the widths of the columns, and which are left out.
func (t *table) layout(width int) *layout {
	l := &layout{columns: t.columns, widths: make([]int, len(t.columns)), loose: width <= 0}
	for c := range t.columns {
		l.shown = append(l.shown, c)
	}
	l.measure(t.rows)
	if width <= 0 || l.total() <= width {
		return l
	}
	l.short = true
	l.measure(t.rows)
	var same, gone []string
	drop := func(c int) {
		l.shown = slices.DeleteFunc(l.shown, func(shown int) bool { return shown == c })
	}
	for c, column := range t.columns {
		value, constant := t.constant(c)
		if column.spare == 0 || !constant || l.total() <= width {
			continue
		}
		if value != "" && len(t.rows) < 2 {
			continue // what is true of the only row is no repetition
		}
		drop(c)
		if value != "" {
			same = append(same, column.title+" "+value)
		}
	}
	for l.least() > width {
		most := -1
		for _, c := range l.shown {
			if t.columns[c].spare >= 2 && (most < 0 || t.columns[c].spare > t.columns[most].spare) {
				most = c
			}
		}
		if most < 0 {
			break
		}
		drop(most)
		gone = append(gone, t.columns[most].title)
	}
	l.fit(width)
	var notes []string
	if len(same) > 0 {
		notes = append(notes, "in each row: "+strings.Join(same, ", "))
	}
	if len(gone) > 0 {
		notes = append(notes, "no room for "+strings.Join(gone, ", ")+"; --width 0 shows all")
	}
	if len(notes) > 0 {
		l.note = "(" + strings.Join(notes, "; ") + ")\n"
	}
	return l
}

// constant reports whether a column says the same in each row, and what.
func (t *table) constant(c int) (string, bool) {
	for _, row := range t.rows {
		if row[c] != t.rows[0][c] {
			return "", false
		}
	}
	if len(t.rows) == 0 {
		return "", true
	}
	return t.rows[0][c], true
}

// measure sets the widths that nothing has to be cut for.
func (l *layout) measure(rows [][]string) {
	for c, column := range l.columns {
		l.widths[c] = utf8.RuneCountInString(column.title)
		for _, row := range rows {
			width := utf8.RuneCountInString(l.text(c, row[c]))
			if column.loose && l.loose {
				width = min(width, looseWidth)
			}
			l.widths[c] = max(l.widths[c], width)
		}
	}
}

func (l *layout) text(c int, cell string) string {
	if l.short && !l.title && l.columns[c].short != nil {
		return l.columns[c].short(cell)
	}
	return cell
}

func (l *layout) total() int {
	total := -gap
	for _, c := range l.shown {
		total += l.widths[c] + gap
	}
	return total
}

// least is how wide the table is when each column has what others have to give up theirs for.
func (l *layout) least() int {
	total := -gap
	for _, c := range l.shown {
		total += gap
		if column := l.columns[c]; column.fixed {
			total += l.widths[c]
		} else {
			total += min(l.widths[c], column.room())
		}
	}
	return total
}

// room is the width that others have to give up theirs for: a title is not cut before.
func (c tableColumn) room() int { return max(c.least, minWidth, len(c.title)) }

// fit cuts columns until the table is as wide as there is room: first, rank by rank, down to what
// each column should have, then down to minWidth.
func (l *layout) fit(width int) {
	last := 0
	for _, c := range l.shown {
		last = max(last, l.columns[c].rank)
	}
	for _, floor := range []func(tableColumn) int{
		tableColumn.room,
		func(tableColumn) int { return minWidth },
	} {
		for rank := 0; rank <= last; rank++ {
			for l.total() > width {
				widest := -1
				for _, c := range l.shown {
					column := l.columns[c]
					if !column.fixed && column.rank <= rank && l.widths[c] > floor(column) &&
						(widest < 0 || l.widths[c] > l.widths[widest]) {
						widest = c
					}
				}
				if widest < 0 {
					break
				}
				l.widths[widest]--
			}
		}
	}
}

// line appends a row; where a cell goes on in the next line, several lines.
func (l *layout) line(b *strings.Builder, row []string, one bool,
	escape func(column int) string) {
	cells := make([][]string, len(l.shown))
	lines := 1
	for i, c := range l.shown {
		cells[i] = l.cell(c, row[c], one)
		lines = max(lines, len(cells[i]))
	}
	var line strings.Builder
	for n := range lines {
		line.Reset()
		for i, c := range l.shown {
			text := ""
			if n < len(cells[i]) {
				text = cells[i][n]
			}
			pad := strings.Repeat(" ", max(0, l.widths[c]-utf8.RuneCountInString(text)))
			if e := escape(c); e != "" && text != "" {
				text = e + text + reset
			}
			if l.columns[c].right {
				text, pad = pad+text, ""
			}
			if i > 0 {
				line.WriteString(strings.Repeat(" ", gap))
			}
			line.WriteString(text + pad)
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
}

// cell returns the lines of a cell.
func (l *layout) cell(c int, text string, one bool) []string {
	runes, width := []rune(l.text(c, text)), l.widths[c]
	if len(runes) <= width || l.loose {
		return []string{string(runes)}
	}
	switch {
	case l.columns[c].cut == cutFront:
		return []string{"…" + string(runes[len(runes)-width+1:])}
	case l.columns[c].cut == cutEnd || one:
		return []string{string(runes[:width-1]) + "…"}
	}
	var lines []string
	for len(runes) > width {
		at := width
		for i := width; i > width/2; i-- {
			if runes[i] == ' ' {
				at = i
				break
			}
		}
		lines = append(lines, string(runes[:at]))
		if runes = runes[at:]; runes[0] == ' ' {
			runes = runes[1:]
		}
	}
	return append(lines, string(runes))
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
