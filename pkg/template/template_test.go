package template

import "testing"

func TestExpand(t *testing.T) {
	known := func(name, key string) (string, bool) {
		switch name {
		case "label":
			return "team", true
		case "env":
			return "<" + key + ">", true
		}
		return "", false
	}
	for _, c := range []struct {
		text, want string
		ok         bool
	}{
		{"plain", "plain", true},
		{"%%label%%", "team", true},
		{"p_%%label_x%%_s", "p_team_s", true},
		{"%%env_A%%-%% label %%", "<A>-team", true},
		{"100%%", "100%%", true},
		{"%%port%%", "%%port%%", false},
	} {
		if got, ok := Expand(c.text, known); got != c.want || ok != c.ok {
			t.Errorf("Expand(%q) = %q, %v; want %q, %v", c.text, got, ok, c.want, c.ok)
		}
	}
}

func FuzzExpand(f *testing.F) {
	f.Add("p_%%label%%_s", "tier")
	f.Add("%%% a_b %%%%", "x")
	f.Add("100%%", "k")
	f.Fuzz(func(t *testing.T, text, key string) {
		out, ok := Expand(text, func(_, _ string) (string, bool) { return key, true })
		if !ok {
			t.Fatalf("Expand(%q) failed though every variable is known", text)
		}
		if !Has(text) && out != text {
			t.Fatalf("Expand(%q) = %q without a variable", text, out)
		}
		if start, end, inner, found := next(text, 0); found {
			if text[start:end] != mark+inner+mark || inner == "" {
				t.Fatalf("next(%q) = %d, %d, %q", text, start, end, inner)
			}
			if part, ok := Expand(text, func(_, _ string) (string, bool) {
				return "", false
			}); ok || part != text[start:end] {
				t.Fatalf("Expand(%q) with unknown variables = %q, %v; want %q", text, part, ok,
					text[start:end])
			}
		}
	})
}
