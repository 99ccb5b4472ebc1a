package image

import "strings"

// sandboxNames are sandbox images whose last path element does not say so;
// each matches at the end of a name, after a slash or alone.
var sandboxNames = [...]string{
	"kubernetes/pause",
	"amazon/amazon-ecs-pause",
	"openshift/origin-pod",
	"rhel7/pod-infrastructure",
}

// pauseArchs are the platform suffixes under which pause images are published.
var pauseArchs = map[string]bool{
	"386": true, "amd64": true, "arm": true, "arm64": true, "armv6": true, "armv7": true,
	"arm32v6": true, "arm32v7": true, "arm64v8": true, "loong64": true, "mips64le": true,
	"ppc64le": true, "riscv64": true, "s390x": true, "x86_64": true, "aarch64": true,
}

// IsPause reports whether an image reference names the image of a pod sandbox,
// whatever registry it comes from. The last element of its path must be
// "pause" or "mirrored-pause", alone or followed by "-<architecture>" or by
// "-win…"; a few sandbox images with other names are known too. An image that
// merely begins so ("pause-button") is not one, nor is a bare digest.
//
// It is the test of last resort: labels and the runtime's own word on what is
// a sandbox come first.
func IsPause(name string) bool {
	r, err := Split(name)
	if err != nil {
		return false
	}
	for _, s := range sandboxNames {
		if head, ok := strings.CutSuffix(r.Name, s); ok &&
			(head == "" || head[len(head)-1] == '/') {
			return true
		}
	}
	rest, ok := strings.CutPrefix(strings.TrimPrefix(r.ShortName, "mirrored-"), "pause")
	if !ok {
		return false
	}
	if rest == "" {
		return true
	}
	platform, ok := strings.CutPrefix(rest, "-")
	if !ok {
		return false
	}
	return strings.HasPrefix(platform, "win") || pauseArchs[strings.TrimPrefix(platform, "linux-")]
}
