package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/host"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/process"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/containerd"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/cri"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/docker"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/podman"
	"github.com/rollcall-dev/rollcall/pkg/env"
)

// collectors makes the collectors of this machine. What is imported here is what is linked.
func (e *engine) collectors() ([]workloadmeta.Collector, error) {
	conf, log := e.conf, e.app.log()
	allowed, err := env.NewFilter(slices.Concat(conf.EnvNames(), e.app.alsoEnv)...)
	if err != nil {
		return nil, fmt.Errorf("options container_env_as_tags, docker_env_as_tags and rules: %w",
			err)
	}
	noImages, keepPause := !conf.ContainerImage.Enabled, !conf.ExcludePauseContainer

	d, err := docker.New(docker.Options{
		Tuning: docker.Tuning{CallTimeout: conf.DockerQueryTimeout},
		Host:   conf.Docker.Host, Env: allowed, NoImages: noImages, KeepPause: keepPause,
		KeepStopped: conf.Docker.KeepStopped,
		ProcRoot:    conf.ProcRoot, Log: log,
	})
	if err != nil {
		return nil, e.blame(err, "docker.host", "docker collector: option Host: ")
	}
	address := conf.Containerd.Address
	if address == "" {
		address = e.criAddress("containerd")
	}
	ofContainerd := containerd.Options{
		Tuning:  containerd.Tuning{CallTimeout: conf.CRIQueryTimeout},
		Address: address, Namespaces: conf.ContainerdNamespaces,
		ExcludeNamespaces: conf.ContainerdExcludeNamespaces,
		DockerRuns:        func() bool { return e.supervisor.Collecting("docker") },
		Env:               allowed, NoImages: noImages, KeepPause: keepPause,
		KeepStopped: conf.Containerd.KeepStopped,
		ProcRoot:    conf.ProcRoot, Log: log,
	}
	kubernetes := []workloadmeta.Collector{}
	if address == "" && e.app.getenv("CONTAINERD_ADDRESS") == "" &&
		conf.Collectors.Containerd == collection.Auto {
		// A Kubernetes distribution may have a containerd of its own beside Docker's.
		ofContainerd.Sockets = containerd.SystemSockets()
		options := ofContainerd
		options.ID, options.Sockets = "containerd-k8s", containerd.KubernetesSockets()
		c, err := containerd.New(options)
		if err != nil {
			return nil, err
		}
		kubernetes = append(kubernetes, c)
	}
	c, err := containerd.New(ofContainerd)
	if err != nil {
		return nil, e.blame(err, "containerd.address", "containerd collector: option Address: ")
	}
	p, err := podman.New(podman.Options{
		Tuning:  podman.Tuning{CallTimeout: conf.DockerQueryTimeout},
		Sockets: conf.Podman.Sockets, Env: allowed, NoImages: noImages, KeepPause: keepPause,
		KeepStopped: conf.Podman.KeepStopped,
		ProcRoot:    conf.ProcRoot, Log: log,
	})
	if err != nil {
		return nil, e.blame(err, "podman.sockets", "podman collector: option Sockets: ")
	}
	r, err := cri.New(cri.Options{
		Socket: e.criAddress("cri"), UseContainerd: conf.Collectors.CRI == collection.On,
		CallTimeout: conf.CRIQueryTimeout,
		Env:         allowed, NoImages: noImages, KeepPause: keepPause, ProcRoot: conf.ProcRoot,
		Log: log,
	})
	if err != nil {
		return nil, e.blame(err, "cri_socket_path", "cri collector: option Socket ")
	}
	procs := process.New(process.Options{
		ProcRoot: conf.ProcRoot, StripArgs: conf.Process.StripArgs, Log: log,
	})
	hostTags, err := host.New(host.Options{
		Duration: conf.ExpectedTagsDuration, Tags: slices.Concat(conf.Tags, conf.ExtraTags),
		Log: log,
	})
	if err != nil {
		return nil, err
	}
	return append(kubernetes, d, c, p, r, procs, hostTags), nil
}

// blame says which option a collector's complaint is about, and where it is set.
func (e *engine) blame(err error, option, prefix string) error {
	where, ok := e.conf.From[option]
	text, found := strings.CutPrefix(err.Error(), prefix)
	if !ok || !found {
		return err
	}
	return errors.New("option " + option + ", set by " + where + ": " + text)
}
