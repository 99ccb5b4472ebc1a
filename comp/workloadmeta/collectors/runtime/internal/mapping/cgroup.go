package mapping

import (
	gopath "path"
	"strings"
)

// RequestedCgroup returns the cgroup below the hierarchy's root that an OCI specification asks for:
// a path, or for systemd "slice:prefix:name", where a slice's name has those above it in it,
// "a-b.slice" being in "a.slice".
func RequestedCgroup(path string) string {
	slice, rest, ok := strings.Cut(path, ":")
	prefix, name, isTriplet := strings.Cut(rest, ":")
	if !ok || !isTriplet || strings.Contains(path, "/") || name == "" {
		if path == "" {
			return ""
		}
		return gopath.Clean("/" + path)
	}
	unit := name
	if !strings.HasSuffix(name, ".slice") {
		if prefix != "" {
			unit = prefix + "-" + name
		}
		unit += ".scope"
	}
	if slice == "" {
		slice = "system.slice" // runc's default, for a root user
	}
	return expandSlice(slice) + "/" + unit
}

// maxSlices bounds how deep slices are nested: the path of one would otherwise grow with the square
// of its name's length.
const maxSlices = 32

// expandSlice returns the path of a slice. What is no slice's name stays as it is.
func expandSlice(slice string) string {
	name, ok := strings.CutSuffix(slice, ".slice")
	if !ok || name == "" || strings.Count(name, "-") >= maxSlices {
		return "/" + slice
	}
	if name == "-" {
		return "" // the root slice
	}
	var path strings.Builder
	for i := range len(name) {
		if name[i] == '-' {
			if i == 0 || name[i-1] == '-' {
				return "/" + slice // no slice has such a name
			}
			path.WriteString("/" + name[:i] + ".slice")
		}
	}
	if strings.HasSuffix(name, "-") {
		return "/" + slice
	}
	path.WriteString("/" + slice)
	return path.String()
}
