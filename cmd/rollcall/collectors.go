package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rollcall-dev/rollcall/comp/config"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/docker"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/host"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/process"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/store"
	"github.com/rollcall-dev/rollcall/pkg/env"
)

// collectors makes the collectors of this machine. What is imported here is what is linked.
// runtimeAnswered returns when it is known which containers the runtime reports itself.
func (a *app) collectors(conf *config.Loaded, s *store.Store, runtimeAnswered func()) ([]workloadmeta.Collector, error) {
	allowed, err := env.NewFilter(slices.Concat(conf.EnvNames(), a.alsoEnv)...)
	if err != nil {
		return nil, fmt.Errorf("options container_env_as_tags, docker_env_as_tags and rules: %w", err)
	}
	d, err := docker.New(docker.Options{
		Host: conf.Docker.Host, Env: allowed, NoImages: !conf.ContainerImage.Enabled,
		KeepPause: !conf.ExcludePauseContainer, KeepStopped: conf.Docker.KeepStopped,
		ProcRoot: conf.ProcRoot, Log: a.log(),
	})
	if err != nil {
		if where, ok := conf.From["docker.host"]; ok {
			return nil, fmt.Errorf("option docker.host, set by %s: %s", where, strings.TrimPrefix(err.Error(), "docker collector: option Host: "))
		}
		return nil, err
	}
	covered := process.CoveredBy(s)
	p := process.New(process.Options{
		ProcRoot: conf.ProcRoot, StripArgs: conf.Process.StripArgs, Log: a.log(),
		Known: process.KnownTo(s),
		Covered: func(containerID string) bool {
			runtimeAnswered()
			return covered(containerID)
		},
	})
	hostTags, err := host.New(host.Options{
		Duration: conf.ExpectedTagsDuration, Tags: slices.Concat(conf.Tags, conf.ExtraTags), Log: a.log(),
	})
	if err != nil {
		return nil, err
	}
	return []workloadmeta.Collector{d, p, hostTags}, nil
}
