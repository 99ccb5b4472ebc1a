package collection

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

func TestOptionsHaveDefaults(t *testing.T) {
	got := Options{}.withDefaults()
	if got.Log == nil {
		t.Fatal("no log")
	}
	got.Log = nil
	want := Options{PullPeriod: 5 * time.Second, PullTimeout: time.Minute,
		RedetectEvery: 15 * time.Second, DetectTimeout: 5 * time.Second,
		SyncGrace: 10 * time.Second, ForgetAfter: 10 * time.Minute,
		BackoffMin: 250 * time.Millisecond, BackoffMax: 30 * time.Second,
		FetchTimeout: 10 * time.Second, FetchNegativeTTL: 10 * time.Second, FetchRate: 10,
		FetchBurst: 20, FetchRefresh: time.Minute}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("defaults = %+v", got)
	}
	if o := (Options{BackoffMin: time.Hour}).withDefaults(); o.BackoffMax != time.Hour {
		t.Errorf("a pause begins with an hour and is never longer than %v", o.BackoffMax)
	}
}

func TestThePeriodIsTheUsersThenTheCollectors(t *testing.T) {
	o := Options{Periods: map[string]time.Duration{"set": time.Hour}}.withDefaults()
	for _, c := range []struct {
		description workloadmeta.Description
		want        time.Duration
	}{
		{workloadmeta.Description{ID: "set", Period: time.Minute}, time.Hour},
		{workloadmeta.Description{ID: "suggests", Period: time.Minute}, time.Minute},
		{workloadmeta.Description{ID: "other"}, 5 * time.Second},
	} {
		if got := o.periodOf(c.description); got != c.want {
			t.Errorf("%s: every %v, want %v", c.description.ID, got, c.want)
		}
	}
}

func TestWhereThereAreNoCollectorsTheComplaintSaysSo(t *testing.T) {
	err := Options{Enabled: map[string]Switch{"a": On}}.validate()
	if err == nil || !strings.Contains(err.Error(), "there are none") {
		t.Errorf("%v", err)
	}
}
