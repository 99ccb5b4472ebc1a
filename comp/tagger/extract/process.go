package extract

import (
	"strings"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// process adds the tags of the service a process runs and of the GPUs it computes on.
func (x *Extractor) process(b *builder, p *workloadmeta.Process, lookup Lookup) {
	if s := p.Service; s != nil {
		b.add(ruleProcessService, s.UST.Service)
		b.add(ruleProcessEnv, s.UST.Env)
		b.add(ruleProcessVersion, s.UST.Version)
		for i := range s.TracerMetadata {
			tracer := &s.TracerMetadata[i]
			if tracer.ServiceName != s.UST.Service {
				b.add(ruleTracerName, tracer.ServiceName)
			}
			if tracer.ServiceEnv != s.UST.Env {
				b.add(ruleTracerEnv, tracer.ServiceEnv)
			}
			if tracer.ServiceVersion != s.UST.Version {
				b.add(ruleTracerVersion, tracer.ServiceVersion)
			}
			processTags(b, tracer.ProcessTags)
		}
	}
	for _, id := range p.GPUs {
		if g, ok := find[*workloadmeta.GPU](lookup, workloadmeta.KindGPU, id); ok {
			b.read(g)
			gpuTags(b, g)
			b.read(p)
		}
	}
}

// processTags adds the tags of a list "name:value,name:value". Blanks around names and
// values do not count; pieces without a colon are skipped.
func processTags(b *builder, list string) {
	if list == "" {
		return
	}
	for tag := range strings.SplitSeq(list, ",") {
		name, value, _ := strings.Cut(tag, ":")
		b.addNamed(ruleProcessTag, "", strings.TrimSpace(name), strings.TrimSpace(value),
			tagger.LowCardinality)
	}
}
