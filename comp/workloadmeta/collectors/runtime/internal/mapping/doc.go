// Package mapping holds what the collectors of container runtimes have in common and what needs no
// connection: what labels mean, how an image's names become a container's image, units of
// resources, and whether a socket can be used. Package runtimesync has the rest, which follows a
// runtime's events.
//
// Everything here is pure but for [CgroupPath] and [ProbeSocket], which look at this machine.
package mapping
