package extract

import (
	"slices"
	"strings"

	"github.com/rollcall-dev/rollcall/comp/rules"
	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/pkg/tagset"
)

// StaticConfig is what static tags are made from.
type StaticConfig struct {
	// Tags and ExtraTags are the options tags and extra_tags: "name:value" each.
	Tags, ExtraTags []string
	// Hostless says that the machine has no identity of its own to hang tags on: ECS
	// Fargate and EKS Fargate. Elsewhere there are no static tags, because the tags of
	// the host do their work.
	Hostless bool

	// EKSFargate adds tags that stand in for the missing node: eks_fargate_node,
	// kube_cluster_name unless Tags or ExtraTags has one, and orch_cluster_id.
	EKSFargate    bool
	NodeName      string
	ClusterName   string
	OrchClusterID string // 36 characters; anything else is left out
}

// StaticTags returns the tags that every container and pod of a machine without host
// identity carries, for [Options.StaticTags]. Entries without a colon, without a name
// or without a value are dropped; several values of one name are kept. The result is
// sorted and has no doubles.
func StaticTags(c StaticConfig) []string {
	if !c.Hostless {
		return nil
	}
	var tags []string
	add := func(name, value string) {
		if name != "" && value != "" {
			tags = append(tags, name+":"+value)
		}
	}
	clusterNamed := false
	for _, entry := range slices.Concat(c.Tags, c.ExtraTags) {
		name, value, _ := strings.Cut(entry, ":")
		add(name, value)
		clusterNamed = clusterNamed || name == "kube_cluster_name" && value != ""
	}
	if c.EKSFargate {
		add("eks_fargate_node", c.NodeName)
		if !clusterNamed {
			add("kube_cluster_name", c.ClusterName)
		}
		if len(c.OrchClusterID) == 36 {
			add("orch_cluster_id", c.OrchClusterID)
		}
	}
	slices.SortFunc(tags, tagset.Compare)
	return slices.Compact(tags)
}

// StaticInfo returns the tag info that puts the static tags on the global entity. It
// is false if there are none.
func (x *Extractor) StaticInfo() (tagger.TagInfo, bool) {
	b := &builder{x: x, source: tagger.SourceStatic}
	x.staticTags(b)
	info := b.info(tagger.GlobalEntityID, true)
	return info, !info.Empty()
}

// staticTag is a static tag and what becomes of it. Static tags are made from no entity, so
// that it is the same everywhere.
type staticTag struct {
	tag    string // as it is in the configuration
	name   string
	effect rules.Effect
}

// applyStatic applies tag_value_split_separator and the rules once and for all.
func (x *Extractor) applyStatic(tags []string) []staticTag {
	var all []staticTag
	for _, tag := range tags {
		name, value, _ := strings.Cut(tag, ":")
		if name == "" || value == "" {
			continue
		}
		values := []string{value}
		if separator, ok := x.separators[name]; ok {
			values = slices.Collect(pieces(value, separator))
		}
		for _, piece := range values {
			all = append(all,
				staticTag{tag: name + ":" + piece, name: name,
					effect: x.rules.Effect(name, tagger.LowCardinality, &rules.Subject{})})
		}
	}
	return all
}

func (x *Extractor) staticTags(b *builder) {
	for i := range x.static {
		tag := &x.static[i]
		if b.trace != nil {
			b.origin = origin{rule: ruleStaticTag}
		}
		b.apply(tag.effect, tag.name, tag.tag[len(tag.name):], false)
	}
}
