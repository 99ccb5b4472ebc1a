package local

import (
	"cmp"

	"github.com/rollcall-dev/rollcall/comp/rules"
	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/pkg/tagset"
)

// IdleRules returns the rules in effect that do nothing to what is in the store now: filters
// that match no container, rules about tags that nobody makes, includes and keeps with nothing
// to undo. It makes all tags anew for that.
func (t *Tagger) IdleRules() []rules.Idle {
	entities := func(yield func(workloadmeta.Entity) bool) {
		for _, kind := range workloadmeta.Kinds() {
			for e := range t.store.List(kind) {
				if !yield(e) {
					return
				}
			}
		}
	}
	return t.Rules().Idle(entities, t.store, func(e workloadmeta.Entity) (made []rules.MadeBy) {
		traced, _ := t.trace(tagger.EntityID(""), e)
		for _, tr := range traced {
			made = append(made, rules.MadeBy{
				Name: tagset.Name(cmp.Or(tr.Before, tr.Tag)), Rule: tr.Rule})
		}
		return made
	})
}
