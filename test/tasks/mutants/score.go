package mutants

import (
	"bufio"
	"fmt"
	"os"
	"strings"
)

// Accepted is the list of survivors that somebody has looked at, with the reason why no test has to
// catch them.
type Accepted map[string]string

// ReadAccepted reads the list. A line is "<file> | <type> | <source line> | <reason>"; empty lines
// and those that begin with "#" do not count.
func ReadAccepted(path string) (Accepted, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	list := Accepted{}
	lines := bufio.NewScanner(file)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		at := strings.LastIndex(line, " | ")
		if at < 0 || strings.Count(line[:at], " | ") < 2 {
			return nil, fmt.Errorf("%s:%d: want <file> | <type> | <source line> | <reason>", path,
				n)
		}
		list[line[:at]] = line[at+3:]
	}
	return list, lines.Err()
}

// Has reports whether a mutant may survive.
func (a Accepted) Has(m Mutant) bool { return a[m.key()] != "" }

// Score counts mutants.
type Score struct {
	Caught   int // those that timed out among them
	TimedOut int
	Survived int // those that are accepted among them
	Accepted int
}

// Count counts a mutant.
func (s *Score) Count(m Mutant, fate Fate, accepted Accepted) {
	switch fate {
	case TimedOut:
		s.TimedOut++
		s.Caught++
	case Caught:
		s.Caught++
	case Survived:
		s.Survived++
		if accepted.Has(m) {
			s.Accepted++
		}
	}
}

// Add adds another score.
func (s *Score) Add(o Score) {
	s.Caught += o.Caught
	s.TimedOut += o.TimedOut
	s.Survived += o.Survived
	s.Accepted += o.Accepted
}

// Percent is the share of mutants that were caught. Without mutants it is 100.
func (s Score) Percent() float64 {
	all := s.Caught + s.Survived
	if all == 0 {
		return 100
	}
	return 100 * float64(s.Caught) / float64(all)
}

// Columns names the columns of a score's String.
const Columns = "caught (timed out)  survived (with a reason)  score"

func (s Score) String() string {
	return fmt.Sprintf("%6d (%9d)  %8d (%13d)  %5.1f %%", s.Caught, s.TimedOut, s.Survived,
		s.Accepted, s.Percent())
}
