package docker_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/docker"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/store"
)

// idsOf returns the IDs of collectors.
func idsOf(collectors []workloadmeta.Collector) string {
	var ids []string
	for _, c := range collectors {
		ids = append(ids, c.Describe().ID)
	}
	return strings.Join(ids, " ")
}

func TestWhichDaemonsHaveACollector(t *testing.T) {
	t.Setenv("DOCKER_HOST", "unix:///run/env.sock")
	for _, tc := range []struct {
		host  string
		hosts string
		want  string // IDs, or the error
	}{
		{"", "", "docker"},
		{"unix:///a.sock", "", "docker"},
		{"", "unix:///a.sock", "docker"},
		{"", "unix:///a.sock unix:///run/b.sock tcp://h:2375", "docker docker@/run/b.sock docker@tcp://h:2375"},
		{"unix:///a.sock", "unix:///b.sock", "docker docker@/b.sock"},
		// Who names one of them for a while does not want it twice.
		{"unix:///b.sock", "unix:///a.sock unix:///b.sock", "docker docker@/a.sock"},
		{"", "unix:///a.sock tcp://me:secret@h:2375", "docker docker@tcp://me:…@h:2375"},

		// A daemon that is named twice has one all the same.
		{"", "unix:///a.sock unix:///b.sock unix:///x/../a.sock unix:////b.sock",
			"docker docker@/b.sock"},
		{"", "tcp://h:2375 tcp://h:2375", "docker"},
		{"", "unix:///a.sock  unix:///b.sock",
			`docker collector: option Hosts: item 2: docker host "": want unix:///path, tcp://host:port or npipe:////./pipe/name`},
		{"", "unix:///a.sock ssh://h",
			`docker collector: option Hosts: item 2: docker host "ssh://h": scheme ssh is not supported (unix, tcp and npipe are)`},
		{"nonsense", "unix:///a.sock",
			`docker collector: option Host: docker host "nonsense": want unix:///path, tcp://host:port or npipe:////./pipe/name`},
	} {
		o := docker.Options{Host: tc.host}
		if tc.hosts != "" {
			o.Hosts = strings.Split(tc.hosts, " ")
		}
		made, err := docker.NewAll(o)
		got := idsOf(made)
		if err != nil {
			got = err.Error()
		}
		if got != tc.want {
			t.Errorf("host %q, hosts %q: %s, want %s", tc.host, tc.hosts, got, tc.want)
		}
	}
}

// A daemon that two paths lead to has one collector, also if the link is made later.
func TestALinkIsNoOtherDaemon(t *testing.T) {
	dir := t.TempDir()
	l, err := net.Listen("unix", dir+"/a")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	link := func(name string) {
		if err := os.Symlink(dir+"/a", dir+"/"+name); err != nil {
			t.Fatal(err)
		}
	}
	link("link")
	made, err := docker.NewAll(docker.Options{Hosts: []string{"unix://" + dir + "/a",
		"unix://" + dir + "/link", "unix://" + dir + "/later"}})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := idsOf(made), "docker docker@"+dir+"/later"; got != want {
		t.Fatalf("%s, want %s", got, want)
	}
	link("later")
	if d := made[1].Detect(t.Context()); d.State != workloadmeta.Absent ||
		d.Reason != dir+"/later is the socket at "+dir+"/a" {
		t.Errorf("a link that is made later: %+v", d)
	}
}

func TestHintNamesTheOptionThatNamesTheDaemon(t *testing.T) {
	missing := "unix://" + t.TempDir() + "/"
	made, err := docker.NewAll(docker.Options{Hosts: []string{missing + "a", missing + "b"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range made {
		if d := c.Detect(t.Context()); d.Hint != "set docker.hosts to where it is" {
			t.Errorf("%s: %+v", c.Describe().ID, d)
		}
	}
}

// Two daemons are two collectors: entities of both are in the store, and what becomes of one of
// them is nothing to the other.
func TestTwoDaemonsSideBySide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := inMemory(t), inMemory(t)
		a.image("load", imageA, []string{"app:1"}, nil)
		b.image("load", imageA, []string{"app:1", "mine:1"}, nil)
		a.run(&fakeContainer{ID: "a1", ImageID: imageA})
		ofB := b.run(&fakeContainer{ID: "b1", ImageID: imageA})
		var lost atomic.Bool // the way to b
		made, err := docker.NewAll(docker.Options{
			Hosts: []string{"unix:///a.sock", "unix:///b.sock"},
			Log:   slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		docker.SetDial(made[0].(*docker.Collector), a.dial)
		docker.SetDial(made[1].(*docker.Collector),
			func(ctx context.Context, network, address string) (net.Conn, error) {
				if lost.Load() {
					return nil, errors.New("gone")
				}
				return b.dial(ctx, network, address)
			})
		s := store.New(store.Options{})
		defer s.Close()
		runs, err := collection.New(collection.Options{Store: s, Collectors: made,
			Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		if err := runs.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer runs.Stop(context.Background()) //nolint:errcheck // the test is over
		if err := s.WaitSynced(t.Context()); err != nil {
			t.Fatal(err)
		}
		expect := func(when, containers, tags, states string) {
			t.Helper()
			synctest.Wait()
			var have, says []string
			for c := range s.Containers() {
				have = append(have, c.ID)
			}
			slices.Sort(have)
			image := "gone"
			if i, err := s.GetContainerImage(imageA); err == nil {
				image = strings.Join(i.RepoTags, " ")
			}
			for _, status := range runs.Status() {
				says = append(says, status.ID+" "+string(status.State))
			}
			slices.Sort(says)
			if got := strings.Join(have, " "); got != containers || image != tags ||
				strings.Join(says, ", ") != states {
				t.Errorf("%s: containers %q, image %q, %q", when, got, image, says)
			}
		}
		live := "docker live, docker@/b.sock live"
		expect("at first", "a1 b1", "app:1 mine:1", live)
		reports, _ := s.Reports(workloadmeta.EntityID{Kind: workloadmeta.KindContainerImage,
			ID: imageA})
		if len(reports) != 2 || reports[0].Name != "docker" || reports[1].Name != "docker@/b.sock" {
			t.Errorf("reports of the image that both have: %+v", reports)
		}
		b.die(ofB, 3)
		b.destroy(ofB)
		time.Sleep(time.Second)
		expect("when b's has ended", "a1", "app:1 mine:1", live)

		b.run(&fakeContainer{ID: "b2", ImageID: imageA})
		time.Sleep(time.Second)
		lost.Store(true)
		b.KillStreams()
		a.run(&fakeContainer{ID: "a2", ImageID: imageA})
		time.Sleep(time.Minute)
		expect("when b is lost", "a1 a2 b2", "app:1 mine:1",
			"docker live, docker@/b.sock degraded")
		time.Sleep(10 * time.Minute)
		expect("when nobody can confirm what b had", "a1 a2", "app:1 mine:1",
			"docker live, docker@/b.sock degraded")
		lost.Store(false)
		time.Sleep(time.Minute)
		expect("when b is back", "a1 a2 b2", "app:1 mine:1", live)
	})
}
