package mapping_test

import (
	"encoding/json"
	"testing"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
)

func TestCRIResources(t *testing.T) {
	for text, want := range map[string]mapping.Limits{
		`{"cpu_period":100000,"cpu_quota":50000,"cpu_shares":256,"memory_limit_in_bytes":1024,"cpuset_cpus":"0-1","oom_score_adj":5}`: {
			Period: 100_000, Quota: 50_000, Shares: 256, Memory: 1024, Cpuset: "0-1",
		},
		`{"cpu_shares":-1}`: {},
	} {
		var r mapping.CRIResources
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			t.Fatal(err)
		}
		if got := r.Limits(); got != want {
			t.Errorf("%s: %+v, want %+v", text, got, want)
		}
	}
}
