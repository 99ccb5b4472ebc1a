package realnode

// LoadImage puts an image with busybox in it into Docker whose configuration has these settings,
// such as Env and Labels (see the OCI image specification). An image that is loaded into several
// runtimes is the same one in all of them.
func (d *Dockerd) LoadImage(name string, config map[string]any) {
	d.tb.Helper()
	_, _, err := d.docker(d.archive(name, config), "load")
	d.must(err)
}

// LoadImage is [Dockerd.LoadImage] for a namespace of containerd.
func (c *Containerd) LoadImage(namespace, name string, config map[string]any) {
	c.tb.Helper()
	_, _, err := c.ctr(c.archive(name, config), namespace, "images", "import", "--snapshotter",
		"overlayfs", "-")
	c.must(err)
}

// LoadImage is [Dockerd.LoadImage] for Podman.
func (p *Podman) LoadImage(name string, config map[string]any) {
	p.tb.Helper()
	_, _, err := p.podman(p.archive(name, config), "load")
	p.must(err)
}

func (d Daemon) archive(name string, config map[string]any) string {
	d.tb.Helper()
	archive, err := imageArchiveWith(name, nil, map[string]any{"config": config})
	d.must(err)
	return archive
}
