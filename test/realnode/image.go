package realnode

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"runtime"
)

// applets are the busybox commands that containers can call by name.
var applets = []string{"sh", "sleep", "true", "false", "cat", "echo", "env", "ls", "ps", "kill",
	"id", "nc"}

// rootfsTar returns a root file system as a tar archive: busybox, links to it, and a few empty
// folders.
func rootfsTar() (string, error) {
	path, err := program("busybox")
	if err != nil {
		return "", err
	}
	busybox, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("make a root file system: %w", err)
	}
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, dir := range []string{"bin/", "etc/", "proc/", "sys/", "dev/", "tmp/"} {
		add(w, tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o755}, nil)
	}
	add(w, tar.Header{Typeflag: tar.TypeReg, Name: "bin/busybox", Mode: 0o755}, busybox)
	add(w, tar.Header{Typeflag: tar.TypeReg, Name: "etc/passwd", Mode: 0o644},
		[]byte("root:x:0:0:root:/:/bin/sh\n"))
	for _, name := range applets {
		add(w, tar.Header{Typeflag: tar.TypeSymlink, Name: "bin/" + name, Linkname: "busybox",
			Mode: 0o777}, nil)
	}
	if err := w.Close(); err != nil {
		return "", fmt.Errorf("make a root file system: %w", err)
	}
	return out.String(), nil
}

// imageArchive returns an image in the format of `docker save`, which containerd imports too.
func imageArchive(name string, command []string) (string, error) {
	return imageArchiveWith(name, command, nil)
}

// imageArchiveWith is imageArchive for an image with more in its configuration; keys of extra
// replace what is there.
func imageArchiveWith(name string, command []string, extra map[string]any) (string, error) {
	rootfs, err := rootfsTar()
	if err != nil {
		return "", err
	}
	layer := sha256.Sum256([]byte(rootfs))
	content := map[string]any{
		"architecture": runtime.GOARCH,
		"os":           "linux",
		"config":       map[string]any{"Cmd": command, "Env": []string{"PATH=/bin"}},
		"rootfs": map[string]any{"type": "layers",
			"diff_ids": []string{"sha256:" + hex.EncodeToString(layer[:])}},
	}
	maps.Copy(content, extra)
	config, err := json.Marshal(content)
	if err != nil {
		return "", fmt.Errorf("make image %s: %w", name, err)
	}
	manifest, err := json.Marshal([]map[string]any{
		{"Config": "config.json", "RepoTags": []string{name}, "Layers": []string{"layer.tar"}},
	})
	if err != nil {
		return "", fmt.Errorf("make image %s: %w", name, err)
	}
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	add(w, tar.Header{Typeflag: tar.TypeReg, Name: "layer.tar", Mode: 0o644}, []byte(rootfs))
	add(w, tar.Header{Typeflag: tar.TypeReg, Name: "config.json", Mode: 0o644}, config)
	add(w, tar.Header{Typeflag: tar.TypeReg, Name: "manifest.json", Mode: 0o644}, manifest)
	if err := w.Close(); err != nil {
		return "", fmt.Errorf("make image %s: %w", name, err)
	}
	return out.String(), nil
}

// add writes one file. An error sticks to w, and its Close reports it.
func add(w *tar.Writer, header tar.Header, content []byte) {
	header.Size = int64(len(content))
	if w.WriteHeader(&header) == nil {
		_, _ = w.Write(content)
	}
}
